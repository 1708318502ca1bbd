"""The networks of the oracles, with their weights."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import max_pool2d


class Loaded(nn.Module):
    """A network whose weights are a file of the oracles."""

    @classmethod
    def load(cls, oracles):
        network = cls()
        network.load_state_dict(load_file(Path(oracles) / cls.file))
        return network.eval().requires_grad_(False)


class SmallCnn(Loaded):
    """The network of the golden vectors."""

    file = "cnn.safetensors"

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(784, 64), nn.Linear(64, 10)

    def forward(self, x):
        x = max_pool2d(self.conv1(x).relu(), 2)
        x = max_pool2d(self.conv2(x).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


class Trades(Loaded):
    """The published network of Zhang et al. (2019)."""

    file = "models/trades_smallcnn.safetensors"

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 32, 3)
        self.conv3, self.conv4 = nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 200), nn.Linear(200, 200), nn.Linear(200, 10)

    def forward(self, x):
        x = max_pool2d(self.conv2(self.conv1(x).relu()).relu(), 2)
        x = max_pool2d(self.conv4(self.conv3(x).relu()).relu(), 2)
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


NETWORKS = {"small-cnn": SmallCnn, "trades-small-cnn": Trades}


class Counted(nn.Module):
    """A network that counts the images it is shown."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.eval()
        self.reset()

    def reset(self):
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        # Some tools compute in f64.
        return self.inner(x.float())

    def parameters(self, recurse=True):
        # Some tools look here for the device.
        return self.inner.parameters(recurse)
