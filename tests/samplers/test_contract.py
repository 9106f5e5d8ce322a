"""What every kernel must do, from the registry: none is skipped."""

from typing import Any

import pytest
import torch

from llcx import gradients, rng
from llcx.posterior import Posterior
from llcx.registry import SAMPLERS
from llcx.types import Trace
from tests.samplers.chains import Normal, run
from tests.stats import assert_matches

KERNELS = [name for name in SAMPLERS.names() if name != "auto"]  # auto is a choice among these
CURVATURES = torch.tensor([1.0, 4.0], dtype=torch.float64)


def record(name: str) -> Any:
    schema = SAMPLERS.schema(name)
    return schema(step_size=0.1 if name == "sgld" else 0.2) if hasattr(schema(), "step_size") else schema()


def walk(name: str, chains: int, seed: int = 0, steps: int = 5, chunk: float = 1.0) -> torch.Tensor:
    blocks = (torch.tensor([[0]]), torch.tensor([[1]]))
    potential = gradients.of_function(lambda w: 0.5 * (CURVATURES * w.square()).sum(1), CURVATURES, n=10, blocks=blocks)
    target = Posterior(potential, nbeta=10.0, gamma=1.0)
    kernel, noise = SAMPLERS.builder(name)(record(name), target), rng.ChainNoise(seed, chains)
    state = kernel.init(potential.at.repeat(chains, 1), noise)
    for _ in range(steps):
        state = kernel.step(state, None, noise)
    return state.w


def test_the_registry_has_kernels() -> None:
    assert {"sgld", "hmc", "gibbs"} <= set(KERNELS)


@pytest.mark.parametrize("name", KERNELS)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    assert torch.equal(walk(name, 4), walk(name, 4))


@pytest.mark.parametrize("name", KERNELS)
def test_another_seed_gives_other_chains(name: str) -> None:
    assert not torch.isclose(walk(name, 4), walk(name, 4, seed=1)).any()


@pytest.mark.parametrize("name", KERNELS)
def test_a_chain_does_not_depend_on_how_many_run_beside_it(name: str) -> None:
    assert torch.equal(walk(name, 2), walk(name, 7)[:2])


@pytest.mark.parametrize("name", KERNELS)
def test_two_curvatures_hold_the_same_energy(name: str) -> None:
    kernel = SAMPLERS.builder(name)(record(name), Normal(CURVATURES))
    for axis, h in enumerate(CURVATURES.tolist()):

        def energy(w: torch.Tensor, axis: int = axis, h: float = h) -> torch.Tensor:
            return 0.5 * h * w[:, axis].square()

        trace: Trace = run(
            kernel, 2, energy, burn=600 if name == "sgld" else 100, draws=2500 if name == "sgld" else 800
        )
        assert_matches(trace, 0.5 / (1 - 0.1 * h / 4) if name == "sgld" else 0.5, rel_se=0.015)
