"""Opacus: differentially private training in PyTorch (Yousefpour et al. 2021), by hooks that make
the gradient of each sample."""

import opacus
import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from private import PrivateStep
from protocol import Work

VERSION = f"{opacus.__version__}, PyTorch {torch.__version__}"


class ClipAndSum(Work):
    """What its optimiser does with gradients per sample that a backward pass has left."""

    def __init__(self, inputs):
        self.grads = inputs.get("dp.grads")
        self.parameter = torch.nn.Parameter(torch.zeros(self.grads.shape[1]))
        self.optimizer = DPOptimizer(
            torch.optim.SGD([self.parameter], lr=1.0),
            noise_multiplier=1.0,
            max_grad_norm=inputs.constant("clip"),
            expected_batch_size=self.grads.shape[0],
        )

    def run(self):
        # A view is new to the optimiser, which refuses gradients that it has seen.
        self.parameter.grad_sample = self.grads.view_as(self.grads)
        self.parameter.summed_grad = None
        self.optimizer.clip_and_accumulate()
        return self.parameter.summed_grad

    def result(self):
        return {"sum": self.run()}


class Hooks(PrivateStep):
    def wrap(self, model, sgd, settings):
        module = GradSampleModule(model)
        return module, DPOptimizer(sgd, **settings), torch.nn.CrossEntropyLoss()


ROWS = {"clip and sum": ClipAndSum, "madry dp-sgd step": Hooks}
