"""Normals by compiled C: the generator's known answers, the law of its numbers, and what chains rest on."""

import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import hypot, log, sqrt
from os import environ
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor

from llcx import artifacts, chains, native, rng
from llcx.native import compiler, reference
from llcx.samplers.sgld import SGLD, SGLDState, build
from llcx.types import Draws, Plan, State
from tests.problems import quadratic
from tests.running import start, toys_registered
from tests.test_backends_runs import PLANS, Killed, Left, potential

COMPILER = shlex.split(environ.get("CC") or "cc")[0]
pytestmark = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"there is no C compiler {COMPILER}")
KEYS = (5, 2**63 + 77, 123456789012345)
LAGS = (1, 32, 64, 96, 128, 4096)  # neighbours; the words of a block; parts of 32 blocks
Generate = Callable[[Tensor, tuple[int, ...], int], Tensor]


@pytest.fixture
def counted() -> Iterator[None]:
    """Chains whose normals are native."""
    before = rng.use("native")
    yield
    rng.use(before)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_reference_has_the_known_answers_of_philox(
    counter: tuple[int, ...], key: tuple[int, int], words: str
) -> None:
    """Those that Salmon, Moraes, Dror and Shaw (2011) publish with Random123."""
    found = reference.philox(torch.tensor(counter), key).tolist()
    assert " ".join(f"{word:08x}" for word in found) == words


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("size", [1, 127, 128, 10_001])
@pytest.mark.parametrize("call", [0, 2**32 - 1, 2**40 + 3])
def test_the_compiled_normals_are_those_of_the_reference(
    dtype: torch.dtype, close: float, size: int, call: int
) -> None:
    like = torch.zeros(len(KEYS), size, dtype=dtype)
    found = native.normal(like, KEYS, call)
    assert found.dtype == dtype
    assert float((found - reference.normal(like, KEYS, call)).abs().max()) < close


def test_a_number_depends_on_its_key_its_call_and_its_position_alone() -> None:
    whole = native.normal(torch.zeros(3, 1000), KEYS, 7)
    assert torch.equal(native.normal(torch.zeros(1, 1000), KEYS[2:], 7)[0], whole[2])
    assert torch.equal(native.normal(torch.zeros(3, 333), KEYS, 7), whole[:, :333])
    assert not torch.isclose(native.normal(torch.zeros(3, 1000), KEYS, 8), whole).any(1).all()


def moments(z: Tensor) -> dict[str, float]:
    """What the first four are off N(0, 1)'s, in standard errors."""
    z, n = z.flatten().double(), z.numel()
    square = z * z
    return {
        "mean": float(z.mean()) * sqrt(n),
        "variance": float(square.mean() - 1) * sqrt(n / 2),
        "skewness": float((square * z).mean()) * sqrt(n / 15),
        "kurtosis": float((square * square).mean() - 3) * sqrt(n / 96),
    }


def correlations(generate: Generate, size: int, dtype: torch.dtype) -> dict[str, float]:
    """Of two chains, two calls and positions so far apart, of numbers and of their squares, in standard errors."""
    like = torch.zeros(2, size, dtype=dtype)
    first, later = (generate(like, KEYS[:2], call).double() for call in (0, 1))
    pairs = {"chains": tuple(first), "steps": (first, later)}
    pairs |= {f"positions {lag} apart": (first[:, :-lag], first[:, lag:]) for lag in LAGS}
    found = {name: float((a * b).mean()) * sqrt(a.numel()) for name, (a, b) in pairs.items()}
    squares = {name: float(((a * a - 1) * (b * b - 1)).mean()) * sqrt(a.numel()) / 2 for name, (a, b) in pairs.items()}
    return {**found, **{f"{name}, squares": score for name, score in squares.items()}}


def off(scores: dict[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if not abs(score) < 5}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ten_million_have_the_moments_of_a_normal_and_a_million_its_law(dtype: torch.dtype) -> None:
    z = native.normal(torch.zeros(1, 10_000_000, dtype=dtype), (1,), 0)
    assert off(moments(z)) == {}
    assert stats.kstest(z[0, :1_000_000].double().numpy(), "norm").pvalue > 0.001


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chains_steps_and_positions_are_uncorrelated(dtype: torch.dtype) -> None:
    assert off(correlations(native.normal, 500_000, dtype)) == {}


@pytest.mark.parametrize(
    ("repeats", "found"),
    [
        (lambda like, keys, call: native.normal(like, keys, call // 2), "steps"),
        (lambda like, keys, call: native.normal(like, keys[:1] * len(keys), call), "chains"),
        (lambda like, keys, call: native.normal(like[:, :128], keys, call).repeat(1, 1000), "positions 128 apart"),
    ],
    ids=["call", "key", "block"],
)
def test_a_counter_that_comes_twice_is_found(repeats: Generate, found: str) -> None:
    assert found in off(correlations(repeats, 128_000, torch.float32))


def test_a_variance_three_thousandths_too_large_is_found() -> None:
    z = native.normal(torch.zeros(1, 10_000_000), (1,), 0)
    assert "variance" in off(moments(z * sqrt(1.003)))


@pytest.mark.slow
def test_fifty_million_have_the_moments_and_the_tail_of_a_normal() -> None:
    parts = [native.normal(torch.zeros(1, 10_000_000), (9,), call) for call in range(5)]
    scores = [moments(part) for part in parts]
    assert off({name: sum(each[name] for each in scores) / sqrt(len(scores)) for name in scores[0]}) == {}
    for beyond in (4.0, 4.5):
        expected = sum(part.numel() for part in parts) * 2 * stats.norm.sf(beyond)
        count = sum(int((part.abs() > beyond).sum()) for part in parts)
        assert abs(count - expected) < 5 * sqrt(expected)
    assert max(float(part.abs().max()) for part in parts) < sqrt(66 * log(2))


@pytest.mark.slow
def test_ten_million_have_the_law_of_a_normal_and_no_correlation() -> None:
    z = native.normal(torch.zeros(1, 10_000_000), (2,), 0)[0].double().numpy()
    assert stats.kstest(z, "norm").pvalue > 0.001
    assert off(correlations(native.normal, 3_000_000, torch.float32)) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_chains_noise_is_its_own_however_chains_are_grouped(counted: None, dtype: torch.dtype) -> None:
    few, many, last = rng.ChainNoise(0, 2), rng.ChainNoise(0, 5), rng.ChainNoise(0, 1, first=4)
    for _ in range(3):
        whole = many.normal(torch.zeros(5, 700, dtype=dtype))
        assert torch.equal(few.normal(torch.zeros(2, 700, dtype=dtype)), whole[:2])
        assert torch.equal(last.normal(torch.zeros(1, 700, dtype=dtype)), whole[4:])


def test_noise_goes_on_from_its_state_and_keeps_to_its_generator(counted: None) -> None:
    like, noise = torch.zeros(2, 50), rng.ChainNoise(0, 2)
    noise.normal(like)
    left: State = noise.state()
    ahead = noise.normal(like)
    rng.use("torch")
    again, plain = rng.ChainNoise(0, 2), rng.ChainNoise(0, 2)
    again.load(left)
    assert torch.equal(again.normal(like), ahead)
    plain.normal(like)
    rng.use("native")
    again.load(plain.state())
    assert torch.equal(again.normal(like), plain.normal(like))


def test_a_run_that_was_killed_ends_bit_for_bit_the_same(counted: None) -> None:
    plan = replace(PLANS["sgld"], warmup=10, draws=20)
    whole, keep = chains.run(potential(), plan, 0), Left(17)
    with pytest.raises(Killed):
        chains.run(potential(), plan, 0, keep=keep)
    again = chains.run(potential(), plan, 0, keep=Left(0, keep.left))
    assert torch.equal(again.energy, whole.energy)
    assert torch.equal(again.last, whole.last)
    assert again.norms.keys() == {"grad", "drift", "noise"}
    assert all(torch.equal(again.norms[key], whole.norms[key]) for key in whole.norms)


def test_the_step_in_one_pass_has_the_bits_of_its_operations(counted: None) -> None:
    w, grad = (native.normal(torch.zeros(3, 1003), KEYS, call) for call in (1, 2))
    made = native.langevin(w, grad, KEYS, 3, drift=0.5e-3, scale=0.0316)
    z = native.normal(w, KEYS, 3)
    assert torch.equal(made.w, w + 0.5e-3 * grad + 0.0316 * z)
    for length, vector in ((made.grad, grad), (made.normal, z)):
        torch.testing.assert_close(length.squeeze(1), torch.linalg.vector_norm(vector.double(), dim=1))


def test_a_step_that_does_not_fit_is_refused() -> None:
    w = torch.zeros(2, 5)
    for other, keys in ((w.double(), KEYS[:2]), (w, KEYS)):
        with pytest.raises(ValueError, match="must be float32"):
            native.langevin(w, other, keys, 0, drift=1.0, scale=1.0)
    with pytest.raises(ValueError, match=r"hardware\.noise must be torch for weights of"):
        native.normal(w.bfloat16(), KEYS, 0)


def test_sgld_tells_the_same_norms_and_the_same_step_either_way(counted: None) -> None:
    def target(w: Tensor, batch: object) -> tuple[Tensor, Tensor]:
        return -0.5 * w.square().sum(1).double(), -w

    class Apart(rng.ChainNoise):
        def langevin(self, *given: object, **more: object) -> None:
            return None

    start, kernel = torch.ones(3, 700), build(SGLD(step_size=0.1), target)
    states: list[SGLDState] = [kernel.step(SGLDState(start), None, noise(0, 3)) for noise in (rng.ChainNoise, Apart)]
    fused, plain = states
    assert torch.equal(fused.w, plain.w)
    for one, other in zip(fused[1:], plain[1:], strict=True):
        assert one is not None and other is not None
        assert one.shape == (3, 1)
        torch.testing.assert_close(one.squeeze(1), torch.linalg.vector_norm(other.double(), dim=1))


def drawn(noise: str) -> Draws:
    """SGLD on a quadratic of curvatures 1 in 20 dimensions, n*beta 10, gamma 1, steps of 0.02, in float32."""
    before = rng.use(noise)
    plan = Plan(SGLD(step_size=0.02, batch_size=None), 10.0, 1.0, chains=200, warmup=100, draws=150, every=3)
    try:
        return chains.run(quadratic(torch.ones(20)), plan, seed=0)
    finally:
        rng.use(before)


def test_chains_with_native_noise_draw_the_exact_law_of_sgld_as_those_with_torchs_do() -> None:
    exact = 10 * 10 / 11 / (1 - 0.02 * 11 / 4)
    means = [drawn(noise).energy.mean(1) for noise in ("torch", "native")]
    errors = [float(each.std()) / sqrt(len(each)) for each in means]
    assert max(errors) < 0.01 * exact
    assert all(abs(float(each.mean()) - exact) < 5 * error for each, error in zip(means, errors, strict=True))
    assert abs(float(means[0].mean() - means[1].mean())) < 5 * sqrt(sum(error**2 for error in errors))
    assert not torch.equal(*means)


@pytest.mark.slow
def test_a_run_with_native_noise_agrees_with_one_with_torchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list[dict[str, str]]()
    brief = ("estimator.chains=32", "estimator.warmup=30", "estimator.draws=80", "estimator.every=3", "task.nets=1")
    with contextmanager(toys_registered)(monkeypatch):
        for noise in ("torch", "native"):
            words = (f"hardware.noise={noise}", "sampler=sgld", "sampler.step_size=1e-5", "sampler.batch_size=null")
            assert start(tmp_path / noise, *words, *brief) == 0
            found.append(artifacts.load(tmp_path / noise).rows[0])
    rng.use("torch")
    (one, error), (other, beside) = ((float(row["llc"]), float(row["se"])) for row in found)
    assert 0 < abs(one - other) < 5 * hypot(error, beside) < 0.5


def test_without_a_compiler_the_setting_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for command, told in (("no-such-compiler", "No such file"), ("false", "false failed")):
        monkeypatch.setenv("CC", command)
        with pytest.raises(ValueError, match=rf"hardware\.noise must be torch .* got native .*{told}.*; install cc"):
            compiler.built("noise.c")
    assert list((tmp_path / "llcx").iterdir()) == []


def test_a_library_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = compiler.built("noise.c")
    assert list((tmp_path / "llcx").iterdir()) == [made]
    built = made.stat().st_mtime_ns
    monkeypatch.setenv("PATH", "")
    assert compiler.built("noise.c").stat().st_mtime_ns == built


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hardware\.noise must be torch on cuda:1, got native"):
        rng.use("native", "cuda:1")
    with pytest.raises(ValueError, match=r"hardware\.noise must be one of torch, native, got numpy"):
        rng.use("numpy")
