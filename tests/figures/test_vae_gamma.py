"""Figures of task=vae against gamma: what training comes to, when it is there, and how safely."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.figures import vae_gamma, vae_stability, vae_targets
from llcx.figures.vae_study import Study
from tests.figures import vae_folder
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.vae_arms import Made

Make = Callable[[Made], Study]
TWO = Made(ways=("raw", "whitened"), lost=(("raw", 0.8, 0), ("raw", 0.8, 2)))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(vae_folder.write(tmp_path, made)))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Both parametrisations at three gammas, three seeds; raw, two of three end early at the largest."""
    return Study(artifacts.load(vae_folder.write(tmp_path_factory.mktemp("two"), TWO)))


@pytest.fixture(scope="module")
def gamma(two: Study) -> Figure:
    return drawn(vae_gamma.figure(two))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axis for axis in figure.axes if axis.get_title("left").startswith(title)]
    return found


def mean(name: str, gamma: float, way: str, step: int) -> float:
    """Over the seeds that came so far."""
    arms = [arm for arm in TWO.arms if (arm.about["gamma"], arm.about["parametrisation"]) == (gamma, way)]
    return float(np.mean([arm.value(name, step) for arm in arms if arm.steps[-1] >= step]))


def test_the_last_step_is_drawn_as_means_over_seeds(gamma: Figure) -> None:
    error, difference = gamma.axes[:2]
    places = dots(error)
    assert len(places) == 6
    for way in TWO.ways:
        wanted = [mean("mse", at, way, 1000) for at in TWO.gammas]
        assert any(np.allclose(sorted(y for _, y in some), sorted(wanted)) for some in (places[:3], places[3:]))
    assert (0.0, 0.0) in [(round(x, 1), y) for x, y in dots(difference)]
    paired = mean("mse", 0.4, "whitened", 1000) - mean("mse", 0.0, "whitened", 1000)
    assert any(y == pytest.approx(paired) for _, y in dots(difference))


def test_means_that_miss_a_seed_are_hollow(gamma: Figure, make: Make) -> None:
    assert hollow(gamma.axes[0]) == 1
    assert "2 of 3 of raw \u03b3 = 0.8" in notes(gamma)
    whole = drawn(vae_gamma.figure(make(replace(TWO, lost=()))))
    assert hollow(whole.axes[0]) == 0
    assert "not of all seeds" not in [text.get_text() for text in whole.legends[0].texts]


def test_the_lowest_loss_is_told_with_its_paired_interval(gamma: Figure, two: Study) -> None:
    losses = {at: mean("loss", at, "whitened", 1000) for at in TWO.gammas}
    best = min(losses, key=lambda at: losses[at])
    told = notes(gamma)
    assert f"whitened: at step 1000 the lowest mean test loss of 3 \u03b3 is that of \u03b3 = {best:g}" in told
    table = [c for c in two.table("gammas") if (c["metric"], c["step"]) == ("test/loss", "1000")]
    (line,) = [c for c in table if c["parametrisation"] == "whitened" and float(c["gamma"]) == best]
    assert float(line["difference_low"]) < losses[best] - losses[0.0] < float(line["difference_high"])
    assert "chosen by the same numbers" in told


def test_few_series_show_how_they_came_there_and_many_the_end(two: Study, make: Make) -> None:
    table = two.table("gammas")
    assert vae_gamma.chosen(two, table) == [10, 30, 300, 1000]
    many = make(replace(TWO, seeds=1, steps=(0, 100, 1000), lost=(), latent_dims=(2, 4)))
    assert vae_gamma.chosen(many, many.table("gammas")) == [1000]
    assert vae_gamma.told(many, False, [1000]).startswith("At step 1000. ")


def test_earlier_steps_are_whiter() -> None:
    assert vae_gamma.whiter("#000000", 0.0) == "#000000"
    assert vae_gamma.whiter("#000000", 1.0) == "#ffffff"


def test_a_wide_interval_does_not_make_the_means_flat(two: Study) -> None:
    axis = Figure().subplots()
    spots = [vae_gamma.Spot(0.0, 1.0, -50.0, 52.0, True), vae_gamma.Spot(0.8, 2.0, 1.9, 2.1, True)]
    axis.plot([0, 0.8], [1.0, 2.0])
    vae_gamma.framed(axis, two, [{"metric": "test/mse"}], spots)
    low, high = axis.get_ylim()
    assert -0.2 < low < 0.1
    assert 2.9 < high < 3.2


def test_one_seed_has_no_interval_and_says_so(make: Make) -> None:
    figure = drawn(vae_gamma.figure(make(Made(seeds=1))))
    assert "One seed: no intervals." in notes(figure)
    assert "[" not in notes(figure).split("lowest mean test loss")[1]


def test_one_gamma_is_no_sweep(make: Make) -> None:
    study = make(Made(gammas=(0.5,)))
    assert [each.figure(study) for each in (vae_gamma, vae_targets, vae_stability)] == [None] * 3


def test_times_to_a_target_are_dots_and_what_never_came_is_at_the_edge(two: Study) -> None:
    figure = drawn(vae_targets.figure(two))
    reached, ratio, never = figure.axes
    known = sorted(float(c["reached"]) for c in two.table("targets") if c["reached"])
    missing = sum(not c["reached"] for c in two.table("targets"))
    assert missing > 2  # those that ended early, and slow ones
    assert hollow(reached) == hollow(ratio) == missing
    inside = sorted(y for _, y in dots(reached) if y != 1.0)
    assert inside == pytest.approx(known)
    assert f"{missing} of 18 trainings never reached it." in notes(figure)
    assert np.asarray(never.lines[0].get_ydata())[[0, -1]].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("cells", "wanted"), [("1 2 9", 2.0), ("1 2 -", 2.0), ("1 - -", np.nan)])
def test_what_never_came_is_later_than_all_others(cells: str, wanted: float) -> None:
    table = [{"reached": cell.replace("-", "")} for cell in cells.split()]
    assert vae_targets.median(table, "reached") == pytest.approx(wanted, nan_ok=True)


def test_stability_is_drawn_against_gamma(two: Study) -> None:
    figure = drawn(vae_stability.figure(two))
    share = panel(figure, "share of trainings")
    raw, whitened = share.lines[:2]
    assert np.asarray(raw.get_ydata()).tolist() == pytest.approx([0, 0, 2 / 3])
    assert not np.asarray(whitened.get_ydata()).any()
    rough = panel(figure, "gradient norm")
    assert np.asarray(rough.lines[0].get_ydata()).tolist() == pytest.approx([1, 1.16, 1.64])
    assert hollow(rough) == 0  # whatever diverged is in it


def test_a_spread_of_those_that_were_left_is_hollow(make: Make) -> None:
    figure = drawn(vae_stability.figure(make(replace(TWO, lost=(("raw", 0.8, 0),)))))
    assert hollow(panel(figure, "spread")) == 1


def test_one_seed_has_no_spread_and_no_worst(make: Make) -> None:
    figure = drawn(vae_stability.figure(make(Made(seeds=1))))
    assert not [axis for axis in figure.axes if axis.get_title("left").startswith("spread")]
    assert panel(figure, "largest rise").get_legend() is None


@pytest.mark.slow
def test_nothing_overlaps(two: Study, gamma: Figure, make: Make) -> None:
    assert apart(gamma)
    assert apart(drawn(vae_targets.figure(two)))
    assert apart(drawn(vae_stability.figure(two)))
    many = make(Made(gammas=(0.0, 0.5), seeds=2, variants=("vae", "scalefree_clamp", "not_decay_fc", "stl_inverse")))
    assert apart(drawn(vae_gamma.figure(many)))
    assert apart(drawn(vae_targets.figure(many)))
