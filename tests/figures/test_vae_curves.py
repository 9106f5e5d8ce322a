"""Figures of task=vae along training, and of its variants."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.figures import style, vae_curves, vae_variants
from llcx.figures.vae_study import Study
from tests.figures import vae_folder
from tests.figures.look import apart, dots, notes
from tests.figures.vae_arms import Made

Make = Callable[[Made], Study]
SWEPT = Made(ways=("raw", "whitened"), lost=(("raw", 0.8, 0),))
NAMED = Made(gammas=(0.5,), variants=("vae", "scalefree", "exp"), lost=(("raw", 0.5, 1),))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(vae_folder.write(tmp_path, made)))


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Figure:
    return drawn(vae_curves.figure(Study(artifacts.load(vae_folder.write(tmp_path_factory.mktemp("swept"), SWEPT)))))


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Figure:
    folder = vae_folder.write(tmp_path_factory.mktemp("named"), NAMED)
    return drawn(vae_variants.figure(Study(artifacts.load(folder))))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axis for axis in figure.axes if axis.get_title("left").startswith(title)]
    return found


def solid(axis: Axes) -> list[np.ndarray]:
    """Values of the curves that are means over seeds."""
    return [
        np.asarray(line.get_ydata()) for line in axis.lines if line.get_linestyle() == "-" and line.get_linewidth() > 1
    ]


def level(axis: Axes, name: str) -> float:
    """The height of a variant's line; names stand left of the first panel of each row."""
    names = [label.get_text() for label in axis.figure.axes[0].get_yticklabels()]
    return float(names.index(name))


def test_a_curve_is_the_mean_over_seeds(curves: Figure) -> None:
    raw = panel(curves, "raw: test loss")
    for at, values in zip(SWEPT.gammas, solid(raw), strict=True):
        arms = [arm for arm in SWEPT.arms if (arm.law, arm.raw, arm.lost) == (at, True, False)]
        assert values == pytest.approx(np.mean([arm.value("loss", SWEPT.steps) for arm in arms], 0))


def test_differences_are_of_the_same_seed(curves: Figure) -> None:
    axis = curves.axes[2]  # below raw
    assert axis.get_title("left").startswith("the same, less that of \u03b3 = 0")
    zero, _, largest = solid(axis)
    assert not zero.any()
    pairs = [next(arm for arm in SWEPT.arms if (arm.law, arm.raw, arm.seed) == (at, True, 1)) for at in (0.0, 0.8)]
    one = np.subtract(*(arm.value("loss", SWEPT.steps) for arm in reversed(pairs)))
    assert largest == pytest.approx(one, rel=0.1, abs=3e-4)  # the other seed's is a little else


def test_a_loss_that_was_not_finite_ends_in_a_cross(curves: Figure, make: Make) -> None:
    raw, whitened = curves.axes[:2]
    crosses = [line for line in raw.lines if line.get_marker() == "x"]
    assert [np.asarray(line.get_xdata()).tolist() for line in crosses] == [[30.0]]
    assert not [line for line in whitened.lines if line.get_marker() == "x"]
    assert "1 of 3 of raw \u03b3 = 0.8" in notes(curves)


def test_a_loss_that_runs_away_does_not_stretch_its_panel(make: Make) -> None:
    study = make(SWEPT)
    lost = next(arm for arm in SWEPT.arms if arm.lost)
    study.__dict__["courses"] = dict(study.courses) | {f"{lost.name}/test/loss": np.array([1.0, 1e8, 1e30])}
    axis = drawn(vae_curves.figure(study)).axes[0]
    (cross,) = [line for line in axis.lines if line.get_marker() == "x"]
    assert axis.get_ylim()[1] < 1
    assert np.asarray(cross.get_ydata())[0] == axis.get_ylim()[1]


def test_many_gammas_have_no_bands_and_a_choice_of_names(make: Make) -> None:
    made = Made(gammas=tuple(round(0.1 * i, 1) for i in range(14)), seeds=2, steps=(0, 10, 100), latents=2)
    figure = drawn(vae_curves.figure(make(made)))
    assert not figure.axes[0].collections
    names = [text.get_text() for text in figure.legends[0].texts]
    assert len(names) == 10
    assert {"\u03b3 = 0", "\u03b3 = 1.3"} <= set(names)


def test_without_a_sweep_a_colour_is_a_series_and_a_panel_a_metric(make: Make) -> None:
    figure = drawn(vae_curves.figure(make(replace(NAMED, lost=()))))
    assert len(figure.axes) == 4
    assert [text.get_text() for text in figure.legends[0].texts][:3] == ["vae", "scalefree", "exp"]
    assert len({line.get_color() for line in figure.axes[0].lines}) == 3


def test_no_course_no_picture(make: Make) -> None:
    study = make(Made(seeds=1, steps=(0,)))
    assert vae_curves.figure(study) is None


def test_variants_are_lines_of_seeds(variants: Figure) -> None:
    error = panel(variants, "reconstruction error [")
    arms = [arm for arm in NAMED.arms if arm.about["variant"] == "exp"]
    found = sorted(x for x, y in dots(error) if y == level(error, "exp"))
    assert found == pytest.approx(sorted(float(arm.value("mse", 1000)) for arm in arms))


def test_what_ended_early_has_a_start_and_no_end(variants: Figure) -> None:
    start, end = panel(variants, "loss before training"), panel(variants, "reconstruction error [")
    counts = [sum(y == level(axis, "scalefree") for _, y in dots(axis)) for axis in (start, end)]
    assert counts == [3, 2]
    assert "1 of 3 of scalefree \u03b3 = 0.5" in notes(variants)


def test_variants_are_compared_seed_by_seed(variants: Figure) -> None:
    axis = panel(variants, "KL(q || p), less that of vae")
    pairs = [
        next(arm for arm in NAMED.arms if (arm.about["variant"], arm.seed) == (name, seed))
        for seed in range(3)
        for name in ("exp", "vae")
    ]
    values = [float(arm.value("kl", 1000)) for arm in pairs]
    wanted = [a - b for a, b in zip(values[::2], values[1::2], strict=True)]
    assert sorted(x for x, y in dots(axis) if y == level(axis, "exp")) == pytest.approx(sorted(wanted))
    assert not [y for _, y in dots(axis) if y == level(axis, "vae")]
    assert any(line.get_color() == style.INK for line in axis.lines)


def test_a_variant_without_a_number_says_so(make: Make) -> None:
    every = tuple(("raw", 0.5, seed) for seed in range(3))
    figure = drawn(vae_variants.figure(make(replace(NAMED, lost=every))))
    axis = panel(figure, "reconstruction error [")
    assert [(text.get_text(), text.get_position()[1]) for text in axis.texts] == [("no number", 1)]
    assert not panel(figure, "loss before").texts


def test_variants_at_several_gammas_have_a_colour_a_gamma(make: Make) -> None:
    figure = drawn(vae_variants.figure(make(replace(NAMED, gammas=(0.2, 0.5), seeds=2, lost=()))))
    names = [text.get_text() for text in figure.legends[0].texts]
    assert names == ["\u03b3 = 0", "\u03b3 = 0.2", "\u03b3 = 0.5", "no \u03b3"]
    levels = {y for _, y in dots(panel(figure, "reconstruction error ["))}
    assert len(levels) == 4  # the flat prior, two gammas, and the one without


def test_one_variant_is_not_compared(make: Make) -> None:
    assert vae_variants.figure(make(replace(NAMED, variants=("scalefree",), lost=()))) is None


@pytest.mark.slow
def test_nothing_overlaps(curves: Figure, make: Make) -> None:
    assert apart(curves)
    several = make(replace(NAMED, ways=("raw", "whitened")))
    assert apart(drawn(vae_variants.figure(several)))
    assert apart(drawn(vae_curves.figure(several)))
