"""Intervals of paired effects: exact cases, and how often they hold the truth."""

from math import inf, log

import pytest
import torch
from scipy.stats import t
from torch import Tensor

from llcx.tasks.mcl import bootstrap
from llcx.tasks.mcl.bootstrap import Pairs, effect, paired
from tests.tasks.mcl_labels import generator, normals


def of(treated: Tensor, control: Tensor | None = None, *, shared: bool = False) -> Pairs:
    """Of effects [S, C]."""
    control = torch.zeros_like(treated) if control is None else control
    counts = torch.full((len(treated),), treated.shape[1])
    return Pairs(torch.stack([treated, control], -1), counts, shared)


def test_one_composition_a_seed_is_the_t_interval_of_seeds() -> None:
    x = normals(6, 1) + 0.5
    found = effect(of(x), generator(), resamples=100_000)
    reach = float(t.ppf(0.975, 5) * x.std() / 6**0.5)
    assert found.mean == pytest.approx(float(x.mean()))
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.01)
    assert (found.percentile_high - found.percentile_low) / 2 < 0.75 * reach
    assert (found.seeds, found.units) == (6, 6)


@pytest.mark.parametrize("shared", [False, True])
def test_resamples_have_the_variance_of_both_levels(shared: bool) -> None:
    """Of 4 seeds and 10 compositions, known exactly for draws with replacement."""
    x = normals(4, 10)
    found = bootstrap.resampled(of(x, shared=shared), 100_000, generator())[:, 0]
    means = x.mean(1)
    between = float(means.var(correction=0)) / 4
    inside = float(x.var(1, correction=0).mean()) / 40
    if shared:  # compositions are one draw: their mean's own variance stays, what is left goes with the seeds
        columns = x.mean(0).var(correction=0)
        rest = float((x - means[:, None] - x.mean(0) + x.mean()).square().mean())
        inside = float(columns) / 10 + rest / 40
    assert float(found.mean()) == pytest.approx(float(x.mean()), abs=0.003)
    assert float(found.var()) == pytest.approx(between + inside, rel=0.02)


def test_seeds_count_alike_however_many_compositions_they_have() -> None:
    cells = {"0": {"a": (1.0, 0.0)}, "1": dict.fromkeys("abcde", (3.0, 0.0))}
    pairs = paired(cells)
    found = effect(pairs, generator(), resamples=1000)
    assert found.mean == 2
    assert (found.seeds, found.units) == (2, 6)
    again = bootstrap.resampled(pairs, 1000, generator())[:, 0]
    assert set(again.tolist()) == {1.0, 2.0, 3.0}  # a seed's missing compositions are never drawn


def test_log_ratios_are_above_zero_where_the_treated_needs_less() -> None:
    pairs = paired({str(s): {"run": (50.0 + s, 100.0 + 2 * s)} for s in range(4)})
    found = effect(pairs, generator(), kind="log_ratio", resamples=1000)
    assert found.mean == pytest.approx(log(2))
    assert found.low == pytest.approx(log(2))
    assert found.p == found.p_least == 1 / 16


def test_flips_are_counted() -> None:
    assert bootstrap.sign_flip(torch.tensor([1.0, 2.0, 3.0]).double(), generator()) == (1 / 8, 1 / 8)
    assert bootstrap.sign_flip(torch.tensor([3.0, -1.0]).double(), generator()) == (0.5, 0.25)
    assert bootstrap.sign_flip(torch.zeros(5).double(), generator())[0] == 1
    p, least = bootstrap.sign_flip(torch.ones(20).double(), generator())
    assert p == pytest.approx(least, abs=1e-4)
    effects = normals(17)
    signs = torch.arange(2**17)[:, None] >> torch.arange(17) & 1
    exact = float(((1 - 2 * signs).double() @ effects >= effects.sum() - 1e-9).double().mean())
    assert bootstrap.sign_flip(effects, generator())[0] == pytest.approx(exact, abs=0.01)


def test_one_seed_has_no_interval() -> None:
    found = effect(of(normals(1, 30) + 5), generator(), resamples=1000)
    assert (found.low, found.high, found.p_least) == (-inf, inf, 0.5)
    assert found.mean == pytest.approx(5, abs=0.8)


def test_the_order_of_seeds_and_compositions_changes_nothing() -> None:
    cells = {str(s): {str(c): (float(s * c), 1.0) for c in range(4)} for s in range(5)}
    turned = {seed: dict(reversed(some.items())) for seed, some in reversed(cells.items())}
    one, other = (effect(paired(each), generator(), resamples=1000) for each in (cells, turned))
    assert one == other


def test_pairs_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ValueError, match="a composition of each seed"):
        paired({"0": {}})
    with pytest.raises(ValueError, match="draw them within seeds"):
        paired({"0": {"a": (1.0, 0.0)}, "1": {"b": (1.0, 0.0)}}, crossed=True)
    with pytest.raises(ValueError, match="kind must be one of difference, log_ratio, got ratio"):
        effect(of(normals(2, 2)), generator(), kind="ratio")


def held(seeds: int, common: float, own: float, *, shared: bool = False) -> tuple[float, float]:
    """Shares of 600 studies whose interval, and whose quantiles, hold the truth, 1.

    Effects of 12 compositions: `common` is how much these differ in all seeds alike, `own` in each by itself.
    """
    studies, drawn = 600, generator(seeds)
    inside = torch.zeros(2)
    for study in range(studies):
        by_seed, by_composition, rest = (
            torch.randn(*shape, generator=drawn, dtype=torch.float64) for shape in ((seeds, 1), (1, 12), (seeds, 12))
        )
        x = 1 + 0.5 * by_seed + common * by_composition + own * rest
        found = effect(of(x, shared=shared), generator(study), resamples=1000)
        inside += torch.tensor([found.low <= 1 <= found.high, found.percentile_low <= 1 <= found.percentile_high])
    return float(inside[0] / studies), float(inside[1] / studies)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_intervals_hold_the_truth_and_quantiles_of_few_seeds_do_not(seeds: int) -> None:
    interval, quantiles = held(seeds, 0.0, 0.3)
    assert interval > 0.93
    assert quantiles < (0.91 if seeds <= 5 else 0.94)


@pytest.mark.slow
def test_compositions_that_all_seeds_share_must_be_drawn_once() -> None:
    nested, crossed = (held(5, 2.0, 0.1, shared=shared)[0] for shared in (False, True))
    assert nested < 0.9
    assert crossed > 0.93
