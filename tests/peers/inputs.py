"""The inputs that the backends read too, and the two networks with the same weights."""

import torch
from safetensors import safe_open
from torch import nn


class Inputs:
    """The arrays and constants of the file of inputs."""

    def __init__(self, path):
        self.file = safe_open(path, framework="pt")
        self.constants = {name: float(text) for name, text in self.file.metadata().items()}

    def get(self, name):
        return self.file.get_tensor(name)

    def constant(self, name):
        return self.constants[name]

    def count(self, name):
        return int(self.constants[name])


class Madry(nn.Module):
    """The MNIST network of Madry et al. (2018)."""

    name = "madry"
    shape = (1, 28, 28)

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(3136, 1024)
        self.fc2 = nn.Linear(1024, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv1(x).relu(), 2)
        x = nn.functional.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


class Mlp(nn.Module):
    """64 inputs, 32 hidden units, 10 classes."""

    name = "mlp"
    shape = (64,)

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())


class Subject:
    """A network with the first samples of its batch."""

    def __init__(self, inputs, kind, batch=None):
        batch = batch or (inputs.count("batch") if kind is Madry else None)
        self.inputs, self.kind = inputs, kind
        self.model = kind().eval()
        self.load()
        self.x = inputs.get(f"{kind.name}.x")[:batch].contiguous()
        self.y = inputs.get(f"{kind.name}.y")[:batch].contiguous()

    def with_predicted_labels(self):
        """The same with the labels that the network gives, so that every sample is attacked."""
        self.y = self.inputs.get("madry.predicted")
        return self

    def load(self):
        """Sets the initial weights."""
        names = self.model.state_dict().keys()
        weights = {name: self.inputs.get(f"{self.kind.name}.{name}") for name in names}
        self.model.load_state_dict(weights)

    def loss(self, x):
        return nn.functional.cross_entropy(self.model(x), self.y)

    def optimizer(self):
        return torch.optim.Adam(self.model.parameters(), lr=self.inputs.constant("lr"))


def mean_distance(subject, found):
    """The mean Euclidean distance of a batch from the subject's."""
    return (found - subject.x).flatten(1).norm(dim=1).mean().item()
