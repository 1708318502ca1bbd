"""Attacks images with the tools that Inocula is compared with, and measures what came of it and what
Inocula made: `strength.py WORK`, for `cargo xtask crosscheck`.

WORK is a JSON file with the folders of the oracles and of MNIST, and rows: a name, a network, an attack as
the program's configuration (so that there is one statement of the budget), and the file that the program
wrote. For each row and side a line of JSON tells, for every image, whether it was right before, whether it
still is, and how far it was moved; everything is measured here, by PyTorch, whoever made it.
"""

import gzip
import json
import sys
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import torch
from networks import NETWORKS, Counted
from strength_tools import TOOLS

# What may be left of ball and box.
ROUNDING = 1e-4
NORMS = {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}


def images(folder):
    """The images and labels of the MNIST test set."""
    raw = {name: gzip.open(Path(folder) / f"t10k-{name}-ubyte.gz").read() for name in FILES}
    x = np.frombuffer(raw["images-idx3"], np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return x.astype(np.float32) / np.float32(255), np.frombuffer(raw["labels-idx1"], np.uint8, offset=8)


FILES = ["images-idx3", "labels-idx1"]


class Task:
    """A row with its images and its network."""

    def __init__(self, row, network, x, y):
        self.config = tomllib.loads(row["attack"])
        self.kind, self.norm = self.config["type"], self.config.get("norm")
        self.network = Counted(network)
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))

    def constant(self, name, default=None):
        value = self.config.get(name, default)
        if value is None:
            raise KeyError(f"the row states no {name}")
        return value

    def measure(self, found):
        """Figures of the images `found`, per image."""
        found = torch.as_tensor(np.asarray(found), dtype=torch.float32)
        moved = (found.double() - self.x.double()).flatten(1).numpy()
        distance = np.linalg.norm(moved, NORMS[self.norm or "l2"], axis=1)
        inside = ((found >= -ROUNDING) & (found <= 1 + ROUNDING)).flatten(1).all(1).numpy()
        eps = self.config.get("eps")
        if eps is not None:
            inside &= distance <= eps * (1 + ROUNDING)
        with torch.no_grad():
            before = (self.network.inner(self.x).argmax(1) == self.y).numpy()
            wrong = (self.network.inner(found).argmax(1) != self.y).numpy()
        # What left the ball or the box does not count.
        return {
            "right": before.tolist(),
            "fooled": (before & wrong & inside).tolist(),
            "distance": [float(d) for d in distance],
            "outside": int((~inside).sum()),
        }


def main():
    warnings.simplefilter("ignore")
    work = json.loads(Path(sys.argv[1]).read_text())
    # Nothing is timed for its own sake, and threads that wait for each other on a busy machine take longer.
    torch.set_num_threads(1)
    x, y = images(work["mnist"])
    for row in work["rows"]:
        ours = np.load(row["found"])
        at = ours["row"]
        task = Task(row, NETWORKS[row["network"]].load(work["oracles"]), x[at], y[at])
        say(row, "inocula", {**task.measure(ours["x"]), **row["cost"]})
        for tool, attacks in TOOLS.items():
            attack = attacks.get((task.kind, task.norm))
            if attack is not None:
                say(row, tool, attacked(task, attack))


def attacked(task, attack):
    """What a tool makes of the images, or why it makes nothing of them."""
    np.random.seed(0)
    torch.manual_seed(0)
    task.network.reset()
    start = time.perf_counter()
    try:
        found = attack(task)
        if found is None:
            return {"absent": True}
    except Exception as error:  # whatever a tool raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}
    if isinstance(found, torch.Tensor):
        found = found.detach().numpy()
    count = len(task.x)
    cost = {"queries": task.network.rows / count, "seconds": time.perf_counter() - start}
    return {**task.measure(found), **cost}


def say(row, side, found):
    print(json.dumps({"row": row["name"], "side": side, **found}), flush=True)


if __name__ == "__main__":
    main()
