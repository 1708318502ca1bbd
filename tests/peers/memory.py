"""Peak memory of PyTorch on the network of Madry et al. (2018): `memory.py pgd|epoch`.

`pgd`: PGD-40 on one batch of 1,000 images. `epoch`: an epoch of training on 10,000 in batches of 128.
Values are drawn, as they do not matter. Prints the peak of the process in MiB, and that of a process
that has only imported PyTorch.
"""

import argparse
import resource

import torch
from inputs import Madry
from torch.nn import functional as F

EPS, STEP, STEPS = 0.3, 0.01, 40


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pgd():
    model, x0, y = Madry().eval(), torch.rand(1000, 1, 28, 28), torch.arange(1000) % 10
    x = x0
    for _ in range(STEPS):
        x = x.detach().requires_grad_()
        g = torch.autograd.grad(F.cross_entropy(model(x), y), x)[0]
        x = (x.detach() + STEP * g.sign()).clamp(x0 - EPS, x0 + EPS).clamp(0, 1)


def epoch():
    model, x, y = Madry(), torch.rand(10_000, 1, 28, 28), torch.arange(10_000) % 10
    adam = torch.optim.Adam(model.parameters())
    for rows in torch.randperm(len(x)).split(128):
        adam.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        adam.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["pgd", "epoch"])
    work = {"pgd": pgd, "epoch": epoch}[parser.parse_args().work]
    torch.set_num_threads(2)
    imported = peak()
    work()
    print(f"{peak():.0f} MiB, {imported:.0f} MiB after the import")


if __name__ == "__main__":
    main()
