"""A user's own files: a Python file with models, data and losses, and checkpoints of one of its models."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from llcx import rng
from llcx.tasks.custom.schema import Custom
from llcx.tasks.custom.task import Task, build

SOURCE = """
import sys
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

RUNS = sys.__dict__.setdefault("runs_of_net", [])
RUNS.append(__file__)

def small(width=3):
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 3))

class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 3)
    def forward(self, x):
        return self.second(self.first(x).tanh())

READY = small()
def seven(): return 7
def broken(): raise RuntimeError("out of luck")
def batch_statistics():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 3))

class Noisy(Own):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5))

def rows(count=40):
    made = torch.Generator().manual_seed(1)
    x = torch.randn(count, 2, generator=made)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()

def drawn(): return torch.randn(6, 2), torch.zeros(6, dtype=torch.long)
def dataset(): return TensorDataset(*rows())
def loader(): return DataLoader(TensorDataset(*rows()), batch_size=7, shuffle=True)
def table(): return dict(zip(("input", "label"), rows()))
PAIR = rows()
ARRAYS = [leaf.numpy() for leaf in (PAIR[0].double(), PAIR[1])]
def words(): return "cat"

def on_table(model, batch): return model(batch["input"])
def nats(output, batch): return nn.functional.cross_entropy(output, batch[1], reduction="none")
def mean(output, batch): return nn.functional.cross_entropy(output, batch[1])
def twice(output, batch): return nats(output, batch).unsqueeze(1).expand(-1, 2)
class Nats:
    def __call__(self, output, batch): return nats(output, batch)
    def kl(self, at, output): return (at.softmax(-1) * (at.log_softmax(-1) - output.log_softmax(-1))).sum(-1)
"""
NAMED: dict[str, Any] = {"model": "net.py:small", "data": "net.py:rows", "loss": "categorical"}
STEPS = (0, 20, 100)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which the user stands, with net.py; what is imported from there is forgotten afterwards."""
    (tmp_path / "net.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    sys.__dict__.pop("runs_of_net", None)


def task(seed: int = 0, **settings: Any) -> Task:
    return build(Custom(**{**NAMED, **settings}), rng.streams(seed))


def module(scale: float = 1.0, seed: int = 0) -> nn.Module:
    """What `small` makes, at weights of its own."""
    made = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3))
    for parameter in net.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=made)
    return net


def checkpoints(folder: Path) -> Path:
    """A folder of three, of which later ones are larger."""
    folder.mkdir()
    for step in STEPS:
        torch.save({"step": step, "model_state_dict": module(1 + step / 100).state_dict()}, folder / f"net_{step}.pt")
    return folder
