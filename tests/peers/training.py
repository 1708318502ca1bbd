"""A training step in PyTorch, by itself or after an attack of whichever tool."""

from inputs import Subject
from protocol import Work


class Step(Work):
    """Forward, gradient of the mean loss, Adam. Subclasses replace the inputs."""

    def __init__(self, inputs, kind, batch=None):
        self.subject = Subject(inputs, kind, batch)
        self.optimizer = self.subject.optimizer()

    def timed_inputs(self):
        return self.subject.x

    def compared_inputs(self):
        """What comes out of an attack, if there is one, and the batch that the step is given."""
        return {}, self.subject.x

    def run(self):
        x = self.timed_inputs()
        self.subject.model.train()
        self.optimizer.zero_grad()
        loss = self.subject.loss(x)
        loss.backward()
        self.optimizer.step()
        loss.item()

    def reset(self):
        self.subject.load()
        self.optimizer = self.subject.optimizer()

    def result(self):
        attacked, x = self.compared_inputs()
        self.optimizer.zero_grad()
        loss = self.subject.loss(x)
        loss.backward()
        named = self.subject.model.named_parameters()
        outputs = {name: parameter.grad.clone() for name, parameter in named}
        self.optimizer.step()
        after = self.subject.loss(x)
        return {**attacked, "loss": loss.item(), **outputs, "loss after": after.item()}


class AttackedStep(Step):
    """A step on the result of `attack(steps, random_start)`.

    Compared are the attack by itself, after few steps, and the step on a batch that all are given.
    """

    def __init__(self, inputs, kind):
        super().__init__(inputs, kind)
        self.given = inputs.get(f"{kind.name}.adversarial")

    def attack(self, steps, random_start):
        raise NotImplementedError

    def timed_inputs(self):
        # Attacks see the network as it is used.
        self.subject.model.eval()
        return self.attack("inner_steps", True)

    def compared_inputs(self):
        return {"adversarial": self.attack("checked_steps", False)}, self.given
