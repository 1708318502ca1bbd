"""Answers the requests of `cargo xtask bench`, as the runner of the backends does.

The requests and replies are listed in the head of `tests/benches/runner/main.rs`. A peer is a module
with a table `ROWS` of the rows that it can do: from the row's name to a class that prepares it. Rows
are warmed, repeated and timed by the same rules as those of the backends.
"""

import json
import math
import sys
import time

import numpy as np

MOST_REPEATS = 100_000
LONG = 1.0


class Work:
    """A row made ready to run."""

    def run(self):
        """Does it once."""
        raise NotImplementedError

    def reset(self):
        """Back to the state before the first run, where runs change it."""

    def result(self):
        """What is compared with the backends: arrays by name."""
        raise NotImplementedError


class Formula(Work):
    """Work that changes nothing and has one result."""

    def __init__(self, compute, name="result"):
        self.run = compute
        self.name = name

    def result(self):
        return {self.name: self.run()}


def serve(hello, rows, inputs):
    """Answers until the input ends. `rows` maps names to functions of `inputs` that make a Work."""
    say({"hello": hello})
    runner = Runner(rows, inputs)
    for line in sys.stdin:
        try:
            say(runner.answer(json.loads(line)))
        except Exception as error:  # whatever a tool raises is the answer for its row
            say({"error": f"{type(error).__name__}: {error}"})


def say(reply):
    print(json.dumps(reply), flush=True)


class Runner:
    """Holds the work of the row that was asked for last."""

    def __init__(self, rows, inputs):
        self.rows, self.inputs = rows, inputs
        self.row, self.work, self.repeats = None, None, 1

    def answer(self, request):
        return getattr(self, "do_" + request["do"])(request)

    def do_rows(self, request):
        return {"rows": [{"suite": "", "name": name} for name in self.rows]}

    def do_warm(self, request):
        self.row = self.work = None
        work = self.rows[request["row"]](self.inputs)
        self.repeats = self.warm(work)
        self.row, self.work = request["row"], work
        return {"repeats": self.repeats}

    def do_measure(self, request):
        if self.row != request["row"]:
            raise ValueError(f"row {request['row']!r} was not warmed last; send warm first")
        self.work.reset()
        return {"seconds": round_of(self.work, self.repeats)}

    def do_result(self, request):
        self.row = self.work = None
        arrays = self.rows[request["row"]](self.inputs).result()
        outputs = []
        with open(request["file"], "wb") as file:
            for name, value in arrays.items():
                array = np.asarray(value, dtype="<f8")
                outputs.append({"name": name, "shape": list(array.shape)})
                file.write(array.tobytes())
        return {"outputs": outputs}

    def warm(self, work):
        start = time.perf_counter()
        once = round_of(work, 1)
        if once < LONG:
            once = round_of(work, 1)
        while time.perf_counter() - start < self.inputs.constant("warm_seconds"):
            once = min(round_of(work, 1), once)
        repeats = math.ceil(self.inputs.constant("round_seconds") / max(once, 1e-9))
        return min(max(repeats, 1), MOST_REPEATS)


def round_of(work, repeats):
    """Seconds per run."""
    run = work.run
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats
