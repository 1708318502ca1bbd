"""Opacus with ghost clipping: norms without gradients per sample, and a second backward pass."""

import opacus
import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from private import PrivateStep

VERSION = f"{opacus.__version__}, PyTorch {torch.__version__}"


class Ghost(PrivateStep):
    def wrap(self, model, sgd, settings):
        module = GradSampleModuleFastGradientClipping(
            model, max_grad_norm=settings["max_grad_norm"], use_ghost_clipping=True
        )
        optimizer = DPOptimizerFastGradientClipping(sgd, **settings)
        loss = DPLossFastGradientClipping(module, optimizer, torch.nn.CrossEntropyLoss())
        return module, optimizer, loss


ROWS = {"madry dp-sgd step": Ghost}
