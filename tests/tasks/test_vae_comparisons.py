"""Trainings compared: against courses that are written down, so that every number is known."""

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx.tasks.vae import comparisons
from llcx.tasks.vae.comparisons import ABOUT, Run, gammas, jump, reached, stability, targets, told

AT = [0, 10, 20, 40]
T2 = 4.302652729911275  # 97.5 % of Student's t on two degrees of freedom


def run(
    gamma: Any = 0.0, seed: int = 0, test: Sequence[float] = (8.0, 4.0, 2.0, 1.0), *, ended: bool = True, **other: Any
) -> Run:
    """`other`: columns of what it is, and entries of its course."""
    whose = {"kind": "power", "variant": "", "parametrisation": "raw", "latent_dim": 4, "learning_rate": 0.1}
    whose |= {key: other.pop(key) for key in tuple(other) if key in whose}
    about = {"training": f"{gamma},{seed},{whose}", "seed": seed, "gamma": gamma, **whose}
    at = torch.tensor(AT[: len(test)])
    steps = {"loss": torch.linspace(8, 1, int(at[-1])), "gradient": torch.ones(int(at[-1]))}
    seen = {"test/loss": torch.tensor(test).double(), "train/loss": torch.tensor(test).double()}
    return Run({key: about[key] for key in ABOUT}, {**steps, "at": at, **seen, "ended": ended, **other})


def only(rows: Sequence[dict[str, Any]], **where: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[key] == value for key, value in where.items())]
    assert len(found) == 1
    return found[0]


def noise(count: int = 2000) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_means_and_intervals_over_seeds_are_those_of_students_t() -> None:
    rows = gammas([run(0.5, seed, (9.0, 5.0, 3.0, end)) for seed, end in enumerate((1.0, 2.0, 3.0))])
    row = only(rows, gamma=0.5, step=40, metric="test/loss")
    assert (row["mean"], row["seeds"]) == (2.0, 3)
    assert row["high"] - 2 == pytest.approx(T2 / 3**0.5)
    assert 2 - row["low"] == pytest.approx(T2 / 3**0.5)
    assert row["difference"] is None  # there is no gamma = 0
    assert [key for key in row if key not in ABOUT] == [
        *("step", "metric", "mean", "low", "high", "seeds", "difference", "difference_low", "difference_high")
    ]


def test_differences_are_paired_by_seed() -> None:
    """Seeds lie far apart and the difference is the same in each: paired, its interval is a point; means overlap."""
    ends = {0: 1.0, 1: 20.0, 2: 300.0}
    usual = [run(0.0, seed, (9.0, 5.0, 3.0, end)) for seed, end in ends.items()]
    other = [run(0.5, seed, (9.0, 5.0, 3.0, end - 0.25)) for seed, end in reversed(ends.items())]
    rows = gammas([*other, *usual])
    row, base = (only(rows, gamma=gamma, step=40, metric="test/loss") for gamma in (0.5, 0.0))
    assert [row[f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx([-0.25] * 3)
    assert row["high"] > base["low"] and base["high"] > row["low"]
    assert base["difference"] == 0
    mixed = [each._replace(about={**each.about, "seed": 2 - each.about["seed"]}) for each in other]
    unpaired = gammas([*usual, *mixed])
    assert only(unpaired, gamma=0.5, step=40, metric="test/loss")["difference_high"] > 1


def test_series_are_told_apart_and_their_gammas_ascend() -> None:
    runs = [run(1.0), run(0.0), run(1.0, parametrisation="whitened"), run("", kind="exp")]
    rows = [row for row in gammas(runs) if row["step"] == 40 and row["metric"] == "test/loss"]
    assert [(row["kind"], row["parametrisation"], row["gamma"]) for row in rows] == [
        *(("power", "raw", 0.0), ("power", "raw", 1.0), ("power", "whitened", 1.0), ("exp", "raw", ""))
    ]
    assert [row["difference"] for row in rows] == [0.0, 0.0, None, None]
    assert rows[0]["low"] is None  # of one seed


def test_a_seed_that_ended_early_or_is_not_finite_is_left_out_and_not_counted() -> None:
    early = run(0.5, 1, (9.0, 7.0), ended=False)
    rows = gammas([run(0.5, 0, (9.0, 5.0, inf, 3.0)), early, run(0.5, 2, (9.0, 6.0, nan, 5.0))])
    counts = {row["step"]: row["seeds"] for row in rows if row["metric"] == "test/loss"}
    assert counts == {0: 3, 10: 3, 40: 2}
    assert only(rows, step=40, metric="test/loss")["mean"] == 4.0


def test_metrics_that_some_courses_do_not_have_are_told_of_the_others() -> None:
    other = run(0.5)
    other.course["test/nats"] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    rows = gammas([run(0.0), other])
    assert {row["gamma"] for row in rows if row["metric"] == "test/nats"} == {0.5}
    assert {row["metric"] for row in rows} == {"test/loss", "train/loss", "test/nats"}


def test_trainings_that_agree_in_everything_count_once() -> None:
    """Of a flat prior, an axis of gamma makes the same training again and again."""
    rows = gammas([run(0.0, seed, kind="ones") for seed in (0, 0, 0, 1)])
    assert only(rows, step=40, metric="test/loss")["seeds"] == 2


def test_the_steps_told_are_few_and_even_in_the_logarithm() -> None:
    assert told([40, 0, 10]) == [0, 10, 40]
    assert told(range(0, 2001, 50)) == [0, 50, 100, 150, 300, 600, 1100, 2000]
    assert told(range(0, 8)) == list(range(8))
    assert told(range(1, 10)) == [1, 2, 3, 4, 6, 9]  # no start before training
    assert len(told(range(10**4))) == comparisons.TOLD


def test_the_step_of_a_target_lies_on_the_line_between_two_events() -> None:
    usual, faster, slower = run(0.0), run(0.5, test=(8.0, 2.0, 0.0, 0.0)), run(1.0, test=(8.0, 7.0, 6.0, 5.0))
    first, second, never = targets([usual, faster, slower])
    assert {row["target"] for row in (first, second, never)} == {1.0}
    assert (first["reached"], first["ratio"]) == (40, 1.0)
    assert (second["reached"], second["ratio"]) == (15, 15 / 40)
    assert (never["reached"], never["ratio"], never["steps"]) == (None, None, 40)
    assert list(first)[: len(ABOUT)] == list(ABOUT)


def test_the_target_counts_from_when_its_own_training_was_there_first() -> None:
    """Its loss falls below what it has at the end, and rises again."""
    rows = targets([run(0.0, test=(8.0, 4.0, 0.0, 2.0)), run(0.5, test=(8.0, 2.0, 2.0, 2.0))])
    assert [row["reached"] for row in rows] == [15, 10]
    assert rows[1]["ratio"] == pytest.approx(10 / 15)


def test_parametrisations_share_a_target_and_seeds_and_widths_have_their_own() -> None:
    runs = [run(0.0), run(0.0, parametrisation="whitened", test=(8.0, 4.0, 2.0, 0.5))]
    runs += [run(0.0, 1, (8.0, 4.0, 2.0, 1.5)), run(0.0, latent_dim=9, test=(8.0, 4.0, 2.0, 1.75))]
    assert [row["target"] for row in targets(runs)] == [1.0, 1.0, 1.5, 1.75]


def test_where_gamma_zero_failed_the_next_gamma_gives_the_target() -> None:
    failed = run(0.0, test=(8.0, 4.0), ended=False)
    rows = targets([run(1.0), run(0.5, test=(8.0, 6.0, 5.0, 3.0)), failed])
    assert [row["target"] for row in rows] == [3.0] * 3
    assert [row["reached"] for row in rows] == [15, 40, None]
    alone = targets([failed])[0]
    assert (alone["target"], alone["reached"], alone["ratio"]) == (None, None, None)


def test_a_target_is_reached_at_an_event_where_the_loss_before_it_was_not_finite() -> None:
    assert reached(run(test=(inf, 4.0, 2.0, 1.0)), 4.5) == 10
    assert reached(run(test=(8.0, nan, 2.0, 1.0)), 3.0) == 20
    assert reached(run(test=(8.0, 4.0, 2.0, 1.0)), 8.0) == 0


def test_failures_are_counted_and_spread_is_of_those_that_ended() -> None:
    failed = run(0.5, 2, (8.0, 9.0), ended=False)
    worse = run(0.5, 3, (8.0, 9.0, 9.0, 9.0))
    row = only(stability([run(0.0), run(0.5, 0), run(0.5, 1, (8.0, 4.0, 2.0, 3.0)), failed, worse]), gamma=0.5)
    assert (row["runs"], row["not_finite"], row["diverged"]) == (4, 0.25, 0.5)
    ends = torch.tensor([1.0, 3.0, 9.0]).double()
    assert row["spread"] == pytest.approx(float(ends.std()))
    assert row["spread_relative"] == pytest.approx(float(ends.std() / ends.mean()))
    assert only(stability([run(0.0)]), gamma=0.0)["spread"] is None


@pytest.mark.parametrize(
    ("losses", "verdict"), [((2.0, 1.0), False), ((1.0, 2.0), True), ((inf, 1.0), False), ((inf, inf), True)]
)
def test_a_training_diverged_if_its_loss_grew(losses: Sequence[float], verdict: bool) -> None:
    made = run()
    made.course["train/loss"] = torch.tensor(losses)
    assert comparisons.diverged(made) is verdict


def test_a_jump_is_found_whatever_the_loss_is_measured_in() -> None:
    """No offset or scale of the loss changes it, and a slow fall below the noise hardly does."""
    quiet = noise()
    usual, level = jump(quiet), quiet.diff().abs().median()
    assert usual is not None and 3 < usual < 9
    spiked = quiet.clone()
    spiked[1000] += 40 * level
    found = jump(spiked)
    assert found is not None and found == pytest.approx(40, rel=0.35)
    for other in (spiked - 1e3, 1e-4 * spiked, spiked + 7):
        assert jump(other) == pytest.approx(found)
    assert jump(spiked - torch.linspace(0, 50, len(quiet))) == pytest.approx(found, rel=0.1)


def test_only_a_rise_is_a_jump_and_not_one_of_the_first_steps() -> None:
    fallen, early = noise(), noise()
    fallen[1000:] -= 100
    early[:20] += 1000
    assert jump(fallen) == pytest.approx(jump(noise()))
    early_rise = jump(early)
    assert early_rise is not None and early_rise < 9
    assert jump(torch.linspace(9, 1, 300).double()) == 0
    assert jump(noise(50)) is None


def test_a_loss_that_ends_as_nan_still_tells_of_the_jumps_before() -> None:
    losses = noise()
    losses[1500] += 1e3
    assert jump(torch.cat([losses, torch.tensor([inf, nan])])) == jump(losses)


def test_the_gradients_tail_leaves_out_the_first_steps_and_the_largest_does_not() -> None:
    steady = torch.linspace(1, 2, 101)
    start = torch.full((50,), 1000.0)
    row = stability([run(gradient=torch.cat([start, steady]))])[0]
    assert row["gradient_median"] == pytest.approx(1.5)
    assert row["gradient_q99"] == pytest.approx(1.99)
    assert row["tail"] == pytest.approx(1.99 / 1.5)
    assert row["gradient_max"] == 1000
    short = stability([run(gradient=start[:40])])[0]
    assert (short["tail"], short["gradient_max"]) == (None, 1000)


def test_roughness_is_the_median_over_seeds_and_the_worst() -> None:
    tails = [1.0, 2.0, 50.0]
    grown = [torch.cat([torch.ones(150), torch.full((4,), tail)]) for tail in tails]
    losses = [noise().index_add(0, torch.tensor([1000]), torch.tensor([size]).double()) for size in (0, 20, 2e3)]
    runs = [run(0.0, seed, gradient=grown[seed], loss=losses[seed]) for seed in range(3)]
    row = stability(runs)[0]
    assert row["tail"] == 2.0
    assert (row["jump"], row["jump_max"]) == (jump(losses[1]), jump(losses[2]))
    assert row["jump_max"] > 20 * row["jump"]
