"""The Adversarial Robustness Toolbox (Nicolae et al. 2018), on PyTorch. It takes NumPy arrays."""

import art
import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent, SquareAttack
from art.defences.trainer import AdversarialTrainerMadryPGD
from art.estimators.classification import PyTorchClassifier
from inputs import Madry, Mlp, Subject
from protocol import Work

VERSION = f"{art.__version__}, PyTorch {torch.__version__}"
CLASSES = 10


class Wrapped:
    """A subject as ART sees it, with labels as rows of zeros and a one."""

    def __init__(self, inputs, kind, batch=None):
        self.subject = Subject(inputs, kind, batch)
        self.x = self.subject.x.numpy()
        self.y = np.eye(CLASSES, dtype=np.float32)[self.subject.y.numpy()]
        self.batch = len(self.x)
        self.wrap()

    def wrap(self):
        self.estimator = PyTorchClassifier(
            self.subject.model,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=self.subject.kind.shape,
            nb_classes=CLASSES,
            optimizer=self.subject.optimizer(),
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )

    def loss(self, x):
        with torch.no_grad():
            return self.subject.loss(torch.from_numpy(x)).item()


class Fgsm(Work):
    def __init__(self, inputs, kind, batch=None):
        self.wrapped = Wrapped(inputs, kind, batch)
        eps, batch = inputs.constant("eps"), self.wrapped.batch
        self.attack = FastGradientMethod(self.wrapped.estimator, eps=eps, batch_size=batch)

    def run(self):
        return self.attack.generate(self.wrapped.x, self.wrapped.y)

    def result(self):
        return {"adversarial": self.run()}


class Square(Work):
    def __init__(self, inputs):
        self.wrapped = Wrapped(inputs, Madry)
        labels = self.wrapped.subject.with_predicted_labels().y
        self.y = np.eye(CLASSES, dtype=np.float32)[labels.numpy()]
        self.attack = SquareAttack(
            self.wrapped.estimator,
            eps=inputs.constant("small_eps"),
            max_iter=inputs.count("queries"),
            batch_size=self.wrapped.batch,
            verbose=False,
        )

    def run(self):
        return self.attack.generate(self.wrapped.x, self.y)

    def result(self):
        return {"loss": self.wrapped.loss(self.run())}


def pgd(wrapped, step, steps, random_starts):
    inputs = wrapped.subject.inputs
    return ProjectedGradientDescent(
        wrapped.estimator,
        eps=inputs.constant("eps"),
        eps_step=inputs.constant(step),
        max_iter=inputs.count(steps),
        num_random_init=random_starts,
        batch_size=wrapped.batch,
        verbose=False,
    )


class Pgd(Work):
    def __init__(self, inputs):
        self.wrapped = Wrapped(inputs, Madry)
        self.timed = pgd(self.wrapped, "pgd_step", "pgd_steps", 1)
        self.compared = pgd(self.wrapped, "pgd_step", "checked_steps", 0)

    def run(self):
        return self.timed.generate(self.wrapped.x, self.wrapped.y)

    def result(self):
        return {"adversarial": self.compared.generate(self.wrapped.x, self.wrapped.y)}


class Step(Work):
    """One batch through `fit`, which is how ART trains."""

    def __init__(self, inputs, kind, batch=None):
        self.wrapped = Wrapped(inputs, kind, batch)

    def fit(self, x):
        wrapped = self.wrapped
        wrapped.estimator.fit(x, wrapped.y, batch_size=wrapped.batch, nb_epochs=1, verbose=False)

    def run(self):
        self.fit(self.wrapped.x)

    def reset(self):
        self.wrapped.subject.load()
        self.wrapped.wrap()

    def result(self):
        before = self.wrapped.loss(self.wrapped.x)
        self.run()
        return {"loss": before, "loss after": self.wrapped.loss(self.wrapped.x)}


class PgdStep(Work):
    """ART's trainer after Madry et al."""

    def __init__(self, inputs):
        self.wrapped = Wrapped(inputs, Madry)
        self.prepare("inner_steps", 1)

    def prepare(self, steps, random_starts):
        inputs = self.wrapped.subject.inputs
        self.trainer = AdversarialTrainerMadryPGD(
            self.wrapped.estimator,
            nb_epochs=1,
            batch_size=self.wrapped.batch,
            eps=inputs.constant("eps"),
            eps_step=inputs.constant("inner_step"),
            max_iter=inputs.count(steps),
            num_random_init=random_starts,
        )
        # Its bar of progress would be drawn for every batch.
        self.trainer.attack.verbose = False

    def run(self):
        self.trainer.fit(self.wrapped.x, self.wrapped.y, nb_epochs=1, batch_size=self.wrapped.batch)

    def reset(self):
        self.wrapped.subject.load()
        self.wrapped.wrap()
        self.prepare("inner_steps", 1)

    def result(self):
        wrapped = self.wrapped
        inputs = wrapped.subject.inputs
        compared = pgd(wrapped, "inner_step", "checked_steps", 0)
        adversarial = compared.generate(wrapped.x, wrapped.y)
        given = inputs.get("madry.adversarial").numpy()
        before = wrapped.loss(given)
        # The trainer makes its batch itself, the given one but for the sign of what is next to nothing.
        self.prepare("checked_steps", 0)
        self.run()
        return {"adversarial": adversarial, "loss": before, "loss after": wrapped.loss(given)}


ROWS = {
    "madry fgsm": lambda inputs: Fgsm(inputs, Madry),
    "madry pgd-40": Pgd,
    "madry square-200": Square,
    "mlp fgsm, batch 1": lambda inputs: Fgsm(inputs, Mlp, 1),
    "mlp fgsm, batch 32": lambda inputs: Fgsm(inputs, Mlp, 32),
    "madry step": lambda inputs: Step(inputs, Madry),
    "madry pgd-7 step": PgdStep,
    "mlp step, batch 1": lambda inputs: Step(inputs, Mlp, 1),
    "mlp step, batch 32": lambda inputs: Step(inputs, Mlp, 32),
}
