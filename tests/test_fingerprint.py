"""Fingerprints: what computes the same has the same, in any process; what computes something else has another."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llcx import fingerprint
from llcx.likelihoods import Gaussian

SCALE = 2.0


def helper(x: Tensor) -> Tensor:
    return x * SCALE


def uses_helper(x: Tensor) -> Tensor:
    return helper(x)


def closed(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x * factor


def even(k: int) -> bool:
    return k == 0 or odd(k - 1)


def odd(k: int) -> bool:
    return k != 0 and even(k - 1)


@dataclass(frozen=True)
class Loss:
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.scale


class Net(nn.Module):
    def __init__(self, power: int = 1) -> None:
        super().__init__()
        self.first, self.power = nn.Linear(2, 2, bias=False), power
        self.first.weight.data = torch.ones(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) ** self.power


def tied() -> nn.Module:
    pair = [Net(), Net()]
    pair[1].first.weight = pair[0].first.weight
    return nn.ModuleList(pair)


DIFFERENT: list[tuple[Any, Any]] = [
    (torch.ones(2), torch.ones(2, 1)),
    (torch.ones(2), torch.ones(2, dtype=torch.float64)),
    (torch.ones(2), torch.tensor([1.0, 1.0 + 1e-6])),
    ((1, 2), [1, 2]),
    ((1, (2, 3)), ((1, 2), 3)),
    (1, 1.0),
    (0.0, None),
    ({"a": 1}, {"b": 1}),
    (closed(1.0), closed(2.0)),
    (partial(closed, 1.0), partial(closed, 2.0)),
    (Loss(1.0), Loss(2.0)),
    (Loss(1.0).__call__, Loss(2.0).__call__),
    (Gaussian(0.1), Gaussian(0.2)),
    (lambda x: x + 1, lambda x: x + 2),
    (lambda x, k=1: x * k, lambda x, k=2: x * k),
    (lambda x: x.sin(), lambda x: x.cos()),
    (lambda b: b["x"], lambda b: b["y"]),
    (lambda b: ["x" for _ in b], lambda b: ["y" for _ in b]),
    (Net(1), Net(2)),
    (nn.Dropout(0.1), nn.Dropout(0.2)),
    (nn.ModuleList([Net(), Net()]), tied()),
    (nn.Sequential(nn.Tanh()), nn.Sequential(nn.ReLU())),
    (torch.sin, torch.cos),
    (nn.functional.mse_loss, nn.functional.l1_loss),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_differs_has_another_fingerprint(one: Any, other: Any) -> None:
    assert fingerprint.of(one) == fingerprint.of(one)
    assert fingerprint.of(one) != fingerprint.of(other)


def test_what_a_function_uses_of_its_module_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint.of(uses_helper)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert fingerprint.of(uses_helper) != before
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert fingerprint.of(uses_helper) == before
    monkeypatch.setitem(globals(), "helper", closed(2.0))
    assert fingerprint.of(uses_helper) != before


def test_functions_that_call_each_other_have_one() -> None:
    assert fingerprint.of(even) != fingerprint.of(odd)


def test_what_is_frozen_counts_and_the_mode_does_not() -> None:
    net = Net()
    before = fingerprint.of(net)
    assert fingerprint.of(net.eval()) == before
    net.first.weight.requires_grad_(False)
    assert fingerprint.of(net) != before


def test_the_text_of_docstrings_and_comments_does_not_count() -> None:
    plain: dict[str, Any] = {"__name__": "m"}
    told: dict[str, Any] = {"__name__": "m"}
    exec("def f(x):\n    return x + 1", plain)
    exec('def f(x):\n    """Adds."""\n    # one\n    return x + 1', told)
    assert fingerprint.of(plain["f"]) == fingerprint.of(told["f"])


@pytest.mark.slow
def test_another_process_finds_the_same() -> None:
    code = (
        "from tests.test_fingerprint import *\n"
        "print(fingerprint.of(uses_helper, Loss(1.0), Net(), {'a': torch.ones(3)}, even, frozenset('abc')))"
    )
    root = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    here = fingerprint.of(uses_helper, Loss(1.0), Net(), {"a": torch.ones(3)}, even, frozenset("abc"))
    assert found.stdout.strip() == here


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cache must be left out with a .*generator"):
        fingerprint.of(x for x in [1])


def test_the_code_is_that_of_the_engine() -> None:
    assert fingerprint.code() == fingerprint.code()
    names = {file.name for pattern in fingerprint.ENGINE for file in Path(fingerprint.__file__).parent.glob(pattern)}
    assert {"measure.py", "hmc.py", "llc.py", "chains.py", "posterior.py"} <= names
