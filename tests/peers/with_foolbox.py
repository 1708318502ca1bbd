"""Foolbox: attacks on models of several frameworks (Rauber et al. 2020), here of PyTorch."""

import foolbox
import torch
from foolbox.attacks import (
    L2CarliniWagnerAttack,
    LinfFastGradientAttack,
    LinfProjectedGradientDescentAttack,
)
from inputs import Madry, Mlp, Subject, mean_distance
from protocol import Work
from training import AttackedStep

VERSION = f"{foolbox.__version__}, PyTorch {torch.__version__}"


class Attacked(Work):
    """A subject with a timed and a compared attack."""

    def __init__(self, subject, timed, compared):
        self.subject, self.timed, self.compared = subject, timed, compared
        self.eps = subject.inputs.constant("eps")
        self.model = foolbox.PyTorchModel(subject.model, bounds=(0, 1))

    def attack(self, attack):
        _, clipped, _ = attack(self.model, self.subject.x, self.subject.y, epsilons=self.eps)
        return clipped

    def run(self):
        return self.attack(self.timed)

    def result(self):
        return {"adversarial": self.attack(self.compared)}


class CarliniWagner(Work):
    def __init__(self, inputs):
        self.subject = Subject(inputs, Madry).with_predicted_labels()
        self.model = foolbox.PyTorchModel(self.subject.model, bounds=(0, 1))
        self.timed, self.compared = (
            L2CarliniWagnerAttack(
                binary_search_steps=1,
                steps=inputs.count("attack_steps"),
                stepsize=inputs.constant("cw_lr"),
                confidence=confidence,
                initial_const=inputs.constant("cw_weight"),
                abort_early=False,
            )
            for confidence in (inputs.constant("cw_endless"), 0)
        )

    def attack(self, attack):
        _, clipped, _ = attack(self.model, self.subject.x, self.subject.y, epsilons=None)
        return clipped

    def run(self):
        return self.attack(self.timed)

    def result(self):
        return {"distance": mean_distance(self.subject, self.attack(self.compared))}


def fgsm(inputs, kind, batch=None):
    attack = LinfFastGradientAttack(random_start=False)
    return Attacked(Subject(inputs, kind, batch), attack, attack)


def pgd(subject, step, steps):
    inputs = subject.inputs

    def attack(steps, random_start):
        return LinfProjectedGradientDescentAttack(
            abs_stepsize=inputs.constant(step),
            steps=inputs.count(steps),
            random_start=random_start,
        )

    return Attacked(subject, attack(steps, True), attack("checked_steps", False))


class PgdStep(AttackedStep):
    def __init__(self, inputs):
        super().__init__(inputs, Madry)
        self.inner = pgd(self.subject, "inner_step", "inner_steps")

    def attack(self, steps, random_start):
        return self.inner.run() if random_start else self.inner.result()["adversarial"]


ROWS = {
    "madry fgsm": lambda inputs: fgsm(inputs, Madry),
    "madry pgd-40": lambda inputs: pgd(Subject(inputs, Madry), "pgd_step", "pgd_steps"),
    "madry cw-50": CarliniWagner,
    "mlp fgsm, batch 1": lambda inputs: fgsm(inputs, Mlp, 1),
    "mlp fgsm, batch 32": lambda inputs: fgsm(inputs, Mlp, 32),
    "madry pgd-7 step": PgdStep,
}
