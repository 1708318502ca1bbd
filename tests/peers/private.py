"""A step of DP-SGD with either of the ways in which Opacus clips."""

import torch
from inputs import Madry, Subject
from protocol import Work


class PrivateStep(Work):
    """Forward, clipped gradients, noise, SGD. Subclasses say how the model is wrapped."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.load(inputs.constant("noise"))

    def wrap(self, model, sgd, settings):
        """The module, its optimiser, and the loss to call backward on."""
        raise NotImplementedError

    def load(self, noise):
        batch = self.inputs.count("private_batch")
        self.subject = Subject(self.inputs, Madry, batch)
        model = self.subject.model.train()
        settings = {
            "noise_multiplier": noise,
            "max_grad_norm": self.inputs.constant("clip"),
            "expected_batch_size": batch,
        }
        sgd = torch.optim.SGD(model.parameters(), lr=self.inputs.constant("lr"))
        self.module, self.optimizer, self.criterion = self.wrap(model, sgd, settings)

    def run(self):
        self.optimizer.zero_grad()
        loss = self.criterion(self.module(self.subject.x), self.subject.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def reset(self):
        self.subject.load()

    def result(self):
        self.load(0.0)
        loss = self.run()
        named = self.subject.model.named_parameters()
        return {"loss": loss, **{name: p.grad.detach().clone() for name, p in named}}
