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
        """As few steps as can be compared, without a random start."""
        return self.subject.x

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
        x = self.compared_inputs()
        self.optimizer.zero_grad()
        loss = self.subject.loss(x)
        loss.backward()
        named = self.subject.model.named_parameters()
        outputs = {name: parameter.grad.clone() for name, parameter in named}
        self.optimizer.step()
        after = self.subject.loss(x)
        return {"loss": loss.item(), **outputs, "loss after": after.item()}
