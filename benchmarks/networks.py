"""Trained networks whose estimates are held against long references: four to set constants on, the others to test them.

Teachers and inputs are random, labels noisy, students of the teacher's shape trained by Adam on minibatches from a
random start; three problems are data sets of scikit-learn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from sklearn import datasets
from torch import Generator, Tensor, nn
from torch.nn import functional

from llcx import rng
from llcx.likelihoods import Categorical, Gaussian
from llcx.types import Data, Point, StatModel

SPREAD = 1.5  # of the teacher's pre-activations: the units bend
CONTRAST = 3.0  # standard deviation of a teacher's logits
BATCH = 256


@dataclass(frozen=True)
class Network:
    """A problem: data, a network and its training."""

    name: str
    widths: tuple[int, ...]  # input, hidden..., output
    n: int
    act: str = "tanh"  # tanh | relu | none: a deep linear network without biases
    classes: bool = False  # whether the outputs are logits of labels
    noise: float = 0.3  # standard deviation of regression labels
    decay: float = 0.0  # of the squared weights in the training loss
    steps: int = 2000
    seed: int = 0
    source: str = ""  # a data set of scikit-learn in place of a teacher
    fitted: bool = False  # whether the procedure's constants were chosen on it


FITTED = (
    Network("p1", (8, 16, 16, 1), 2000, noise=0.25, fitted=True),
    Network("p1_many", (8, 16, 16, 1), 20000, noise=0.25, steps=4000, fitted=True),
    Network("p2", (32, 80, 80, 1), 2000, noise=0.25, fitted=True),
    Network("p3", (64, 32, 10), 1797, classes=True, decay=1e-3, source="digits", fitted=True),
    Network("p4", (8, 6, 5), 2000, act="none", noise=1.0, fitted=True),
)
HELD_OUT = (
    Network("tanh_small", (5, 16, 1), 500, seed=1),
    Network("tanh_two_layers", (8, 16, 16, 1), 1000, noise=0.2, seed=2),
    Network("tanh_wide", (10, 32, 1), 2000, noise=0.5, seed=3),
    Network("tanh_deep", (6, 12, 12, 12, 1), 3000, seed=4),
    Network("tanh_two_outputs", (20, 40, 2), 2000, seed=5),
    Network("tanh_many", (8, 16, 16, 1), 12000, noise=0.5, steps=4000, seed=6),
    Network("tanh_over", (3, 40, 40, 1), 800, seed=7),
    Network("tanh_short", (8, 24, 1), 1500, steps=300, seed=8),
    Network("tanh_decay", (8, 24, 1), 1500, decay=1e-3, seed=9),
    Network("relu_small", (6, 24, 1), 6000, act="relu", seed=10),
    Network("relu_two_layers", (8, 20, 20, 1), 3000, act="relu", seed=11),
    Network("relu_wide", (16, 64, 1), 4000, act="relu", noise=1.0, seed=12),
    Network("relu_three_outputs", (12, 30, 30, 3), 1500, act="relu", seed=13),
    Network("relu_over", (20, 100, 50, 1), 600, act="relu", seed=14),
    Network("linear_two", (10, 4, 6), 1500, act="none", noise=1.0, seed=15),
    Network("linear_three", (6, 6, 6, 6), 2500, act="none", noise=0.5, seed=16),
    Network("class_tanh", (10, 16, 4), 1500, classes=True, seed=17),
    Network("class_relu", (10, 16, 4), 4000, act="relu", classes=True, seed=18),
    Network("class_few", (8, 24, 3), 600, classes=True, decay=1e-3, seed=19),
    Network("class_deep", (20, 32, 32, 5), 3000, act="relu", classes=True, decay=3e-4, seed=20),
    Network("class_two", (6, 12, 2), 1000, classes=True, seed=21),
    Network("class_ten", (16, 40, 10), 8000, act="relu", classes=True, steps=4000, seed=22),
    Network("digits_small", (64, 16, 10), 1797, act="relu", classes=True, decay=3e-4, seed=23, source="digits"),
    Network("cancer", (30, 16, 2), 569, classes=True, decay=3e-4, seed=24, source="breast_cancer"),
    Network("diabetes", (10, 32, 1), 442, noise=0.7, decay=1e-3, seed=25, source="diabetes"),
    Network("large", (60, 300, 250, 1), 1000, noise=0.5, steps=1000, seed=26),
)
NETWORKS = {each.name: each for each in (*FITTED, *HELD_OUT)}


def build(network: Network) -> Point:
    """The problem's point: the trained network on its data."""
    streams = rng.streams(network.seed)
    x, y = _rows(network, streams.generator("data"), streams.generator("teacher"))
    likelihood: Gaussian | Categorical = Categorical() if network.classes else Gaussian(network.noise)
    model = _module(network, streams.generator("init"))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, network.steps, eta_min=1e-4)
    batches = streams.generator("fit")
    for _ in range(network.steps):
        some = torch.randint(len(x), (min(BATCH, len(x)),), generator=batches)
        loss = likelihood(model(x[some]), (x[some], y[some])).mean()
        loss = loss + network.decay * torch.stack([p.square().sum() for p in model.parameters()]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    stat = StatModel(model, likelihood, likelihood.kl, root=likelihood.root)
    return Point(network.name, {}, stat, Data((x, y), len(x)))


def _module(network: Network, generator: Generator) -> nn.Sequential:
    bends: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
    layers: list[nn.Module] = []
    with rng.seeded(generator):
        for wide, narrow in pairwise(network.widths):
            layers.append(nn.Linear(wide, narrow, bias=network.act != "none"))
            if network.act != "none":
                layers.append(bends[network.act]())
    return nn.Sequential(*(layers if network.act == "none" else layers[:-1]))


def _rows(network: Network, data: Generator, teachers: Generator) -> tuple[Tensor, Tensor]:
    if network.source:
        return _known(network)
    x = torch.randn(network.n, network.widths[0], generator=data)
    teacher = _module(network, teachers)
    with torch.no_grad():
        for p in teacher.parameters():
            if p.dim() == 2:
                p.copy_(torch.randn(p.shape, generator=teachers) * SPREAD / p.shape[1] ** 0.5)
        output = teacher(x)
    if network.classes:
        chances = (CONTRAST * output / output.std()).softmax(-1)
        return x, torch.multinomial(chances, 1, generator=data).squeeze(1)
    return x, output + network.noise * torch.randn(output.shape, generator=data)


def _known(network: Network) -> tuple[Tensor, Tensor]:
    x, y = getattr(datasets, f"load_{network.source}")(return_X_y=True)
    x, y = torch.as_tensor(x).float(), torch.as_tensor(y)
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-3 * float(x.std()))
    if network.classes:
        return x, functional.one_hot(y).argmax(1)
    return x, ((y - y.double().mean()) / y.double().std()).float().unsqueeze(1)
