"""What every kernel must do, from the registry: none is skipped."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from llcx import gradients
from llcx.posterior import Posterior
from llcx.registry import SAMPLERS
from llcx.rng import ChainNoise
from llcx.samplers import (
    HMC,
    MALA,
    MCLMC,
    NUTS,
    SGHMC,
    SGLD,
    SGNHT,
    AdamSGLD,
    Gibbs,
    RMSpropSGLD,
)
from llcx.types import Chains, Trace
from tests.samplers.chains import Normal, Quartic, Quiet, kernel_of, run
from tests.stats import assert_matches

KERNELS = [name for name in SAMPLERS.names() if name != "auto"]  # auto is a choice among these
CURVATURES = torch.tensor([1.0, 4.0], dtype=torch.float64)
RECORDS: dict[str, Any] = {  # a step at which biases are small but visible; preconditioned ones get 1/e = 10 times it
    record.name: record
    for record in (
        SGLD(0.1),
        RMSpropSGLD(0.01, alpha=0.9),
        AdamSGLD(0.01, alpha=0.9, momentum=0.5),
        SGHMC(0.4),
        SGNHT(0.4),
        MALA(0.5),
        HMC(0.2, leapfrog=12),
        MCLMC(0.1, length=1.0),
        NUTS(0.5, depth=4),
        Gibbs(),
    )
}
SLOW = {"sgld": 1500, "rmsprop_sgld": 1500, "adam_sgld": 1500, "sghmc": 1500, "sgnht": 1500, "mclmc": 1000}
FIRST_ORDER = ("sgld", "rmsprop_sgld", "adam_sgld")  # biases of O(eps); the others' are O(eps^2)
COARSE = {"nuts": 0.1}  # relative standard error: a draw takes milliseconds


def walk(name: str, chains: int, seed: int = 0, steps: int = 5) -> Chains:
    blocks = (torch.tensor([[0]]), torch.tensor([[1]]))
    potential = gradients.of_function(lambda w: 0.5 * (CURVATURES * w.square()).sum(1), CURVATURES, n=10, blocks=blocks)
    kernel, noise = kernel_of(RECORDS[name], Posterior(potential, nbeta=1.0, gamma=0.1)), ChainNoise(seed, chains)
    state = kernel.init(potential.at.repeat(chains, 1), noise)
    for _ in range(steps):
        state = kernel.step(state, None, noise)
    return state.w


def energies(record: Any, target: Any, measure: Any) -> torch.Tensor:
    """`measure` along a run long enough for the kernel at hand."""
    if record.name in COARSE:
        return run(kernel_of(record, target), 2, measure, burn=4, draws=40, chains=12)
    draws = SLOW.get(record.name, 800)
    return run(kernel_of(record, target), 2, measure, burn=draws // 4, draws=draws)


def factor(record: Any, precision: float) -> float:
    """By which the kernel is known to inflate a Gaussian's variance: 1 for exact ones."""
    if record.unbiased:
        return 1.0
    gain = float(record.preconditioner(torch.zeros(1))) if hasattr(record, "preconditioner") else 1.0
    return float(record.inflation(record.step_size, gain * precision, 0.0)[0])


def test_every_kernel_is_here_and_has_its_record_exported() -> None:
    assert set(RECORDS) == set(KERNELS)
    assert len(KERNELS) >= 10


@pytest.mark.parametrize("name", KERNELS)
def test_a_record_says_what_it_needs_and_is_of_its_own_name(name: str) -> None:
    record = SAMPLERS.schema(name)()
    assert record.name == name
    assert isinstance(record.unbiased, bool)
    assert {*record.needs} <= {"gradient", "logp", "full_data", "conditionals", "external"}
    assert getattr(record, "step_size", "auto") == "auto"


@pytest.mark.parametrize("name", KERNELS)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    assert torch.equal(walk(name, 4), walk(name, 4))


@pytest.mark.parametrize("name", KERNELS)
def test_another_seed_gives_other_chains(name: str) -> None:
    assert not torch.isclose(walk(name, 4), walk(name, 4, seed=1)).any()


@pytest.mark.parametrize("name", KERNELS)
def test_a_chain_does_not_depend_on_how_many_run_beside_it(name: str) -> None:
    assert torch.equal(walk(name, 2), walk(name, 5)[:2])


@pytest.mark.parametrize("name", KERNELS)
def test_without_noise_a_step_is_a_function_of_the_state(name: str) -> None:
    kernel, start = kernel_of(RECORDS[name], Normal(CURVATURES)), torch.ones(3, 2, dtype=torch.float64)
    ends = []
    for seed in (1, 2):
        noise, state = Quiet(seed, 3), kernel.init(start, ChainNoise(0, 3))
        for _ in range(3):
            state = kernel.step(state, None, noise)
        ends.append(state.w)
    assert torch.equal(*ends)


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_watched_is_a_number_or_one_a_chain(name: str) -> None:
    record = RECORDS[name]
    kernel, noise = kernel_of(record, Normal(CURVATURES)), ChainNoise(0, 3)
    state = kernel.step(kernel.init(torch.zeros(3, 2, dtype=torch.float64), noise), None, noise)
    for watched in record.watched:
        assert torch.as_tensor(getattr(state, watched)).shape in ((), (3,))
    for moves in ("grad", "drift", "noise", "metric"):
        found = getattr(state, moves, None)
        assert found is None or found.shape == state.w.shape


@pytest.mark.parametrize("name", KERNELS)
def test_two_curvatures_hold_the_energy_that_the_kernel_says(name: str) -> None:
    record = RECORDS[name]
    halves = energies(record, Normal(CURVATURES, nbeta=1e9), lambda w: 0.5 * CURVATURES * w.square())
    for axis, precision in enumerate(CURVATURES.tolist()):
        trace: Trace = halves[..., axis]
        assert_matches(trace, 0.5 * factor(record, precision), rel_se=COARSE.get(name, 0.02))


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "gibbs"])  # a quartic has no conditionals
def test_a_quartic_holds_a_quarter_nat_a_coordinate(name: str) -> None:
    record = RECORDS[name]
    coarser = 1 if record.unbiased else 10 if name in FIRST_ORDER else 2
    finer = replace(record, step_size=record.step_size / coarser)
    trace: Trace = energies(finer, Quartic(), lambda w: 0.5 * w.pow(4).sum(1))
    assert_matches(trace, 0.5, rel_se=COARSE.get(name, 0.02))


def test_the_oracle_rejects_a_kernel_a_tenth_too_hot() -> None:
    halves = energies(RECORDS["sgld"], Normal(CURVATURES / 1.1), lambda w: 0.5 * CURVATURES * w.square())
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(halves[..., 0], 0.5 * factor(RECORDS["sgld"], 1.0), rel_se=0.015)


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "gibbs"])  # gibbs has no step
def test_a_calibrated_step_is_a_number_within_the_bias_allowed(name: str) -> None:
    record = SAMPLERS.schema(name)()
    quiet, loud = record.first_step(100.0, 0.0), record.first_step(100.0, 1e6)
    assert 0 < loud <= quiet < 1
    if not record.unbiased and not hasattr(record, "adapt"):
        for noise in (0.0, 1e4, 1e6):
            assert max(record.inflation(record.first_step(100.0, noise), 100.0, noise)) <= 1.02
        assert max(record.inflation(1.01 * loud, 100.0, 1e6)) > 1.02


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "gibbs"])
@pytest.mark.parametrize("bad", [0, -1e-3, float("inf"), "automatic", True])
def test_a_step_that_is_no_positive_number_is_refused_in_one_line(name: str, bad: object) -> None:
    with pytest.raises(ValueError, match=r"^sampler\.step_size must be a number > 0 or auto, got .*$"):
        SAMPLERS.schema(name)(step_size=bad)


@pytest.mark.parametrize(
    ("name", "key", "bad"),
    [
        ("sgld", "batch_size", 0),
        ("sgld", "baseline", "mean"),
        ("sgld", "metric", "euclidean"),
        ("rmsprop_sgld", "alpha", 1.0),
        ("rmsprop_sgld", "eps", 0.0),
        ("adam_sgld", "momentum", 1.0),
        ("adam_sgld", "alpha", 0.0),
        ("adam_sgld", "eps", -1.0),
        ("sghmc", "friction", 0.0),
        ("sgnht", "friction", 2.0),
        ("mala", "accept", 1.0),
        ("mala", "metric", "none"),
        ("hmc", "leapfrog", 0),
        ("hmc", "spread", 0.5),
        ("hmc", "jitter", 1.0),
        ("hmc", "accept", 0.0),
        ("hmc", "metric", "none"),
        ("nuts", "depth", 0),
        ("nuts", "accept", 1.5),
        ("mclmc", "integrator", "euler"),
        ("mclmc", "length", 0.0),
        ("mclmc", "length", "long"),
        ("mclmc", "desired_energy_var", 0.0),
        ("mclmc", "accept", 1.0),
        ("mclmc", "metric", "none"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(name: str, key: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=rf"^sampler\.{key} must .*, got [^\n]*$"):
        SAMPLERS.schema(name)(**{key: bad})
