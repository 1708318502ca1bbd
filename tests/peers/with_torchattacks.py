"""torchattacks: attacks on PyTorch models (Kim 2020)."""

import torch
import torchattacks
from inputs import Madry, Mlp, Subject, mean_distance
from protocol import Work
from training import AttackedStep

VERSION = f"{torchattacks.__version__}, PyTorch {torch.__version__}"


class Fgsm(Work):
    def __init__(self, inputs, kind, batch=None):
        self.subject = Subject(inputs, kind, batch)
        self.attack = torchattacks.FGSM(self.subject.model, eps=inputs.constant("eps"))

    def run(self):
        return self.attack(self.subject.x, self.subject.y)

    def result(self):
        return {"adversarial": self.run()}


def pgd(subject, inputs, step, steps, random_start):
    return torchattacks.PGD(
        subject.model,
        eps=inputs.constant("eps"),
        alpha=inputs.constant(step),
        steps=inputs.count(steps),
        random_start=random_start,
    )


class Pgd(Work):
    def __init__(self, inputs):
        self.subject = Subject(inputs, Madry)
        self.timed = pgd(self.subject, inputs, "pgd_step", "pgd_steps", True)
        self.compared = pgd(self.subject, inputs, "pgd_step", "checked_steps", False)

    def run(self):
        return self.timed(self.subject.x, self.subject.y)

    def result(self):
        return {"adversarial": self.compared(self.subject.x, self.subject.y)}


class Apgd(Work):
    """What its attack runs, and whose result it keeps only for samples that are fooled."""

    def __init__(self, inputs):
        self.subject = Subject(inputs, Madry).with_predicted_labels()
        self.attack = torchattacks.APGD(
            self.subject.model,
            eps=inputs.constant("small_eps"),
            steps=inputs.count("attack_steps"),
        )

    def run(self):
        return self.attack(self.subject.x, self.subject.y)

    def result(self):
        best, *_ = self.attack.attack_single_run(self.subject.x, self.subject.y)
        return {"loss": self.subject.loss(best).item()}


class CarliniWagner(Work):
    def __init__(self, inputs):
        self.subject = Subject(inputs, Madry).with_predicted_labels()
        settings = {
            "c": inputs.constant("cw_weight"),
            "steps": inputs.count("attack_steps"),
            "lr": inputs.constant("cw_lr"),
        }
        self.timed, self.compared = (
            torchattacks.CW(self.subject.model, kappa=kappa, **settings)
            for kappa in (inputs.constant("cw_endless"), 0)
        )

    def run(self):
        return self.timed(self.subject.x, self.subject.y)

    def result(self):
        found = self.compared(self.subject.x, self.subject.y)
        return {"distance": mean_distance(self.subject, found)}


class Square(Work):
    """As for APGD."""

    def __init__(self, inputs):
        self.subject = Subject(inputs, Madry).with_predicted_labels()
        self.attack = torchattacks.Square(
            self.subject.model,
            eps=inputs.constant("small_eps"),
            n_queries=inputs.count("queries"),
        )

    def run(self):
        return self.attack(self.subject.x, self.subject.y)

    def result(self):
        self.attack.init_hyperparam(self.subject.x)
        _, best = self.attack.attack_single_run(self.subject.x, self.subject.y)
        return {"loss": self.subject.loss(best).item()}


class PgdStep(AttackedStep):
    def __init__(self, inputs):
        super().__init__(inputs, Madry)
        self.attacks = {
            steps: pgd(self.subject, inputs, "inner_step", steps, random_start)
            for steps, random_start in (("inner_steps", True), ("checked_steps", False))
        }

    def attack(self, steps, random_start):
        return self.attacks[steps](self.subject.x, self.subject.y)


ROWS = {
    "madry fgsm": lambda inputs: Fgsm(inputs, Madry),
    "madry pgd-40": Pgd,
    "madry apgd-50": Apgd,
    "madry cw-50": CarliniWagner,
    "madry square-200": Square,
    "mlp fgsm, batch 1": lambda inputs: Fgsm(inputs, Mlp, 1),
    "mlp fgsm, batch 32": lambda inputs: Fgsm(inputs, Mlp, 32),
    "madry pgd-7 step": PgdStep,
}
