"""Gradients by torch's compiler: only when asked for, the gradients of seq, and a reason where it fails."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llcx import chains, gradients
from llcx.gradients import traces
from llcx.likelihoods import Categorical
from llcx.samplers.sgld import SGLD
from llcx.types import Data, Plan, Potential, StatModel

ROOT = Path(__file__).parents[1]
N, C, B = 40, 3, 10  # rows, chains, rows of a minibatch
PLAN = Plan(SGLD(step_size=1e-4, batch_size=B), nbeta=10.0, gamma=1.0, chains=C, warmup=0, draws=traces.PAYS, every=1)


class Words(nn.Module):
    """Three words of seven, a mean of their vectors, four classes."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(7, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.words(x[:, :3].abs().mul(5).long() % 7).mean(1))
        return out


NETS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4)),
    "convolution": lambda: nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten()),
    "embedding": Words,
}


def potential(name: str, backend: str, target: str = "data") -> Potential:
    torch.manual_seed(0)
    x = torch.randn(N, 8, generator=torch.Generator().manual_seed(1))
    model = StatModel(NETS[name](), Categorical(), Categorical().kl)
    return gradients.of_model(model, Data((x, torch.arange(N) % 4), N), target=target, backend=backend)[0]


def near(found: Potential) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    return found.at + 0.1 * torch.randn(C, len(found.at), generator=draw), torch.randint(N, (C, B), generator=draw)


def agree(quick: Potential, plain: Potential) -> None:
    """On minibatches, first and later."""
    w, idx = near(plain)
    assert quick.mini is not None and plain.mini is not None
    for _ in range(3):
        torch.testing.assert_close(quick.mini(w, idx), plain.mini(w, idx), rtol=1e-4, atol=1e-6)
        w, idx = w * 1.1, idx.roll(1, 1)


@pytest.fixture(params=["none", "other"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A compiler that fails, and one that gives other gradients; what the log then says."""

    def compiler(module: Any, **_: Any) -> Any:
        def run(*given: Tensor) -> Any:
            if request.param == "none":
                raise RuntimeError("No working C++ compiler found\nin a long list")
            k, grad = module(*given)
            return k, grad * 1.01

        return run

    monkeypatch.setattr(torch, "compile", compiler)
    return {"none": "compiler failed (No working C++ compiler found)", "other": "gives other gradients"}[request.param]


def test_where_compiling_fails_the_recording_runs_and_the_log_says_why(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    quick = potential("linear", "compile")
    with gradients.repeated(traces.PAYS) as told:
        agree(quick, potential("linear", "seq"))
        quick.full(near(quick)[0])
    assert told.backends == {"fx", "seq"}
    assert caplog.text.count(broken) == 2  # one a shape
    assert chains.run(potential("linear", "compile"), PLAN, 0).backend == "fx"


def test_what_is_asked_for_a_few_times_is_recorded_and_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", None)
    quick = potential("linear", "compile")
    with gradients.repeated(traces.PAYS - 1) as told:
        agree(quick, potential("linear", "seq"))
    assert told.backend == "fx"


def test_a_run_that_is_compiled_says_so_and_draws_what_fx_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """From w* of the self target, where the gradient is nothing but rounding."""
    asked: list[Any] = []

    def compiler(module: Any, **_: Any) -> Any:
        asked.append(module)
        return lambda *given: (module(*given)[0], module(*given)[1] + 1e-9)

    monkeypatch.setattr(torch, "compile", compiler)
    found, truth = (chains.run(potential("linear", backend, "self"), PLAN, 0) for backend in ("compile", "fx"))
    assert (found.backend, truth.backend, len(asked)) == ("compile", "fx", 1)
    torch.testing.assert_close(found.energy, truth.energy, rtol=1e-4, atol=1e-4)


def by_the_compiler() -> None:
    """What a process of its own runs, in which nothing else has asked for the compiler."""
    for name in NETS:
        agree(potential(name, "fx"), potential(name, "seq"))
    assert "torch._dynamo" not in sys.modules
    for name in NETS:
        quick, seq = potential(name, "compile"), potential(name, "seq")
        with gradients.repeated(traces.PAYS) as told:
            agree(quick, seq)
        assert told.backends == {"compile", "seq"}
    assert "torch._inductor" in sys.modules


@pytest.mark.slow
def test_three_nets_by_the_compiler_which_is_loaded_when_it_is_asked_for(tmp_path: Path) -> None:
    code = "from tests.test_backends_compiled import by_the_compiler as f; f()"
    told = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=told, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
