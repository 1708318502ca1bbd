"""PyTorch by hand: what one writes who takes no library of attacks."""

import torch
from torch.nn import functional as F

from inputs import Madry, Mlp, Subject
from protocol import Formula, Work
from training import AttackedStep, Step

VERSION = torch.__version__


def on(*names):
    """A row that is a function of these inputs."""

    def with_function(function):
        def prepare(inputs):
            arrays = [inputs.get(name) for name in names]
            return Formula(lambda: function(*arrays))

        return prepare

    return with_function


def pool_gradient(x, g):
    # As the backends, which are given the input: the maxima are searched, then the gradient placed.
    _, places = F.max_pool2d(x, 2, return_indices=True)
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return backward(g, x, [2, 2], [2, 2], [0, 0], [1, 1], False, places)


def pgd_step(inputs):
    x, g, x0 = (inputs.get(name) for name in ("flat.x", "flat.a", "flat.x0"))
    eps, step = inputs.constant("eps"), inputs.constant("pgd_step")
    return Formula(lambda: linf_step(x, g, x0, step, eps))


def linf_step(x, g, x0, step, eps):
    x = x + step * g.sign()
    return torch.clamp(torch.min(torch.max(x, x0 - eps), x0 + eps), 0.0, 1.0)


class AdamStep(Work):
    def __init__(self, inputs):
        self.inputs = inputs
        self.reset()

    def reset(self):
        self.parameter = torch.nn.Parameter(self.inputs.get("flat.b").clone())
        self.parameter.grad = self.inputs.get("flat.a")
        self.adam = torch.optim.Adam([self.parameter], lr=self.inputs.constant("lr"))

    def run(self):
        self.adam.step()

    def result(self):
        self.run()
        state = self.adam.state[self.parameter]
        return {
            "parameter": self.parameter.detach(),
            "first moment": state["exp_avg"],
            "second moment": state["exp_avg_sq"],
        }


def input_gradient(subject, x):
    x = x.detach().requires_grad_()
    loss = F.cross_entropy(subject.model(x), subject.y, reduction="sum")
    return torch.autograd.grad(loss, x)[0]


class Forward(Work):
    def __init__(self, inputs):
        self.subject = Subject(inputs, Madry)

    @torch.no_grad()
    def run(self):
        return self.subject.model(self.subject.x)

    def result(self):
        return {"logits": self.run()}


class Fgsm(Work):
    def __init__(self, inputs, kind, batch=None):
        self.subject = Subject(inputs, kind, batch)
        self.eps = inputs.constant("eps")

    def run(self):
        x = self.subject.x
        return (x + self.eps * input_gradient(self.subject, x).sign()).clamp(0.0, 1.0)

    def result(self):
        gradient = input_gradient(self.subject, self.subject.x)
        return {"gradient": gradient, "adversarial": self.run()}


def pgd(subject, steps, step, eps, random_start):
    x0 = subject.x
    x = x0
    if random_start:
        x = (x0 + torch.empty_like(x0).uniform_(-eps, eps)).clamp(0.0, 1.0)
    for _ in range(steps):
        x = linf_step(x, input_gradient(subject, x), x0, step, eps)
    return x


class Pgd(Work):
    def __init__(self, inputs):
        self.subject = Subject(inputs, Madry)
        self.inputs = inputs

    def attack(self, steps, random_start):
        constant = self.inputs.constant
        return pgd(self.subject, steps, constant("pgd_step"), constant("eps"), random_start)

    def run(self):
        return self.attack(self.inputs.count("pgd_steps"), True)

    def result(self):
        return {"adversarial": self.attack(self.inputs.count("checked_steps"), False)}


class PgdStep(AttackedStep):
    def __init__(self, inputs):
        super().__init__(inputs, Madry)
        self.inputs = inputs

    def attack(self, steps, random_start):
        step, eps = self.inputs.constant("inner_step"), self.inputs.constant("eps")
        return pgd(self.subject, self.inputs.count(steps), step, eps, random_start)


class TradesStep(Work):
    """TRADES as in its paper's code: the inner ascent of the divergence, two passes, Adam."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.subject = Subject(inputs, Madry)
        self.beta = inputs.constant("beta")
        self.reset()

    def reset(self):
        self.subject.load()
        self.optimizer = self.subject.optimizer()

    def divergence(self, clean, x):
        moved = F.log_softmax(self.subject.model(x), dim=1)
        return F.kl_div(moved, clean.log_softmax(1), reduction="sum", log_target=True)

    def inner(self):
        x0, model = self.subject.x, self.subject.model
        step, eps = self.inputs.constant("inner_step"), self.inputs.constant("eps")
        with torch.no_grad():
            clean = model(x0)
        x = x0 + 0.001 * torch.randn_like(x0)
        for _ in range(self.inputs.count("inner_steps")):
            x = x.detach().requires_grad_()
            g = torch.autograd.grad(self.divergence(clean, x), x)[0]
            x = linf_step(x.detach(), g, x0, step, eps)
        return x

    def update(self, x):
        self.optimizer.zero_grad()
        clean = self.subject.model(self.subject.x)
        natural = F.cross_entropy(clean, self.subject.y)
        loss = natural + self.beta * self.divergence(clean, x) / len(x)
        loss.backward()
        named = self.subject.model.named_parameters()
        gradients = {name: parameter.grad.clone() for name, parameter in named}
        self.optimizer.step()
        return {"loss": loss.item(), **gradients}

    def run(self):
        self.update(self.inner())

    def result(self):
        return self.update(self.inputs.get("madry.adversarial"))


def clipped_sum(grads, clip):
    factors = (clip / grads.norm(dim=1).clamp(min=1e-12)).clamp(max=1.0)
    return factors @ grads


def clip_and_sum(inputs):
    grads, clip = inputs.get("dp.grads"), inputs.constant("clip")
    return Formula(lambda: clipped_sum(grads, clip), "sum")


def clip_sum_noise(inputs):
    grads, clip, noise = inputs.get("dp.grads"), inputs.constant("clip"), inputs.get("dp.noise")
    return Formula(lambda: clipped_sum(grads, clip) + noise, "sum")


def round_trip(inputs):
    a, b = (inputs.get(name).numpy() for name in ("tiny.a", "tiny.b"))
    return Formula(lambda: (torch.tensor(a) + torch.tensor(b)).numpy().copy(), "sum")


def small_gradient(inputs):
    at = inputs.get("tiny.a")

    def gradient():
        x = at.detach().requires_grad_()
        return torch.autograd.grad((x * x).sum(), x)[0]

    return Formula(gradient, "gradient")


def conv_dx(g, w):
    return torch.nn.grad.conv2d_input((g.shape[0], w.shape[1], *g.shape[2:]), w, g, padding=2)


def conv_dw(x, g):
    return torch.nn.grad.conv2d_weight(x, (g.shape[1], x.shape[1], 5, 5), g, padding=2)


ROWS = {
    "matmul 256": on("small.a", "small.b")(torch.matmul),
    "matmul 1024": on("large.a", "large.b")(torch.matmul),
    "conv1 forward": on("conv1.x", "conv1.w")(lambda x, w: F.conv2d(x, w, padding=2)),
    "conv1 dx": on("conv1.g", "conv1.w")(conv_dx),
    "conv1 dw": on("conv1.x", "conv1.g")(conv_dw),
    "conv2 forward": on("conv2.x", "conv2.w")(lambda x, w: F.conv2d(x, w, padding=2)),
    "conv2 dx": on("conv2.g", "conv2.w")(conv_dx),
    "conv2 dw": on("conv2.x", "conv2.g")(conv_dw),
    "max pool": on("conv1.g")(lambda x: F.max_pool2d(x, 2)),
    "max pool gradient": on("conv1.g", "conv2.x")(pool_gradient),
    "softmax cross-entropy": on("xent.z", "xent.y")(
        lambda z, y: F.cross_entropy(z, y, reduction="none")
    ),
    "add 1M": on("flat.a", "flat.b")(torch.add),
    "exp 1M": on("flat.a")(torch.exp),
    "tanh 1M": on("flat.a")(torch.tanh),
    "sum 1M": on("flat.x")(torch.sum),
    "sum of rows 1M": on("flat.x")(lambda x: x.sum(1, keepdim=True)),
    "sum of columns 1M": on("flat.x")(lambda x: x.sum(0, keepdim=True)),
    "take rows 1M": on("flat.a", "take.rows")(lambda x, rows: x.index_select(0, rows)),
    "gather 100k": on("flat.a", "gather.columns")(lambda x, columns: x.gather(1, columns)),
    "pgd_step 1M": pgd_step,
    "adam_step 1M": AdamStep,
    "madry forward": Forward,
    "madry fgsm": lambda inputs: Fgsm(inputs, Madry),
    "madry pgd-40": Pgd,
    "mlp fgsm, batch 1": lambda inputs: Fgsm(inputs, Mlp, 1),
    "mlp fgsm, batch 32": lambda inputs: Fgsm(inputs, Mlp, 32),
    "madry step": lambda inputs: Step(inputs, Madry),
    "madry pgd-7 step": PgdStep,
    "madry trades step": TradesStep,
    "mlp step, batch 1": lambda inputs: Step(inputs, Mlp, 1),
    "mlp step, batch 32": lambda inputs: Step(inputs, Mlp, 32),
    "clip and sum": clip_and_sum,
    "clip, sum, add noise": clip_sum_noise,
    "small add": on("tiny.a", "tiny.b")(torch.add),
    "small add and back": round_trip,
    "small gradient": small_gradient,
}
