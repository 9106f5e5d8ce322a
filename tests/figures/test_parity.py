"""Figures of task=parity that a run of networks leaves: what each needs, and what it says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.figures import (
    parity,
    parity_alpha_sweep,
    parity_encoding,
    parity_ensembles,
    parity_kernels,
    parity_llc,
    parity_phase_diagram,
    parity_study,
    parity_time_scale,
    style,
)
from llcx.figures.parity_study import Study
from tests.figures import parity_folder
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.parity_folder import T1, C, Made

Make = Callable[[Made], Study]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(parity_folder.write(tmp_path, made)))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three widths, four alphas, two seeds, with learning coefficients."""
    made = Made(widths=(16, 32, 64), seeds=2, scale="ntk", cut=(1000.0,), measured=True)
    return Study(artifacts.load(parity_folder.write(tmp_path_factory.mktemp("wide"), made)))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Figure:
    """Of one width and one seed, all of which arrived."""
    folder = parity_folder.write(tmp_path_factory.mktemp("sweep"), Made())
    return drawn(parity_alpha_sweep.figure(Study(artifacts.load(folder))))


@pytest.fixture(scope="module")
def wide_sweep(wide: Study) -> Figure:
    return drawn(parity_alpha_sweep.figure(wide))


@pytest.fixture(scope="module")
def wide_llc(wide: Study) -> Figure:
    return drawn(parity_llc.figure(wide))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def test_the_lazy_slope_is_told_of_what_is_lazy_alone(sweep: Figure) -> None:
    t1, at_t1, at_end, *_ = sweep.axes
    assert [axis.texts[0].get_text() for axis in (at_t1, at_end)] == ["last decade: slope \u22121.000"] * 2
    exact = np.log10(parity_folder.t1(1000.0) / parity_folder.t1(100.0))
    assert t1.texts[0].get_text() == f"last decade: slope {exact:.3f}".replace("-", "\u2212") != "\u22121.000"
    (line,) = [line for line in at_end.lines if line.get_color() == style.KNOWN]
    x, y = np.asarray(line.get_data())
    assert y * x == pytest.approx(C)


def test_what_is_not_lazy_has_its_own_slope(make: Make) -> None:
    axis = drawn(parity_alpha_sweep.figure(make(Made(power=0.7)))).axes[1]
    assert "\u22120.700" in axis.texts[0].get_text()


def test_machines_stand_beside_the_networks(sweep: Figure) -> None:
    t1, *_, errors, _, _ = sweep.axes
    (machine,) = [line for line in t1.lines if line.get_linestyle() == "--"]
    x, y = np.asarray(machine.get_data())
    assert y * x == pytest.approx(T1)
    assert {line.get_linestyle() for line in errors.lines} == {"-", "--", ":"}


def test_networks_that_were_cut_off_are_hollow_and_counted(wide_sweep: Figure) -> None:
    assert [hollow(axis) for axis in wide_sweep.axes] == [0, 0, 3, 3, 3, 3]
    assert "Hollow: stopped by max_steps, before where the others end (6 of 24 networks)." in notes(wide_sweep)


def test_nothing_is_hollow_where_all_arrived(sweep: Figure) -> None:
    assert not any(hollow(axis) for axis in sweep.axes)
    assert "Hollow" not in notes(sweep)


def test_widths_are_told_apart_and_seeds_are_one_curve(wide_sweep: Figure) -> None:
    assert [text.get_text() for text in wide_sweep.legends[0].texts][:3] == ["h = 16", "h = 32", "h = 64"]
    assert len(dots(wide_sweep.axes[0])) == 12
    assert dots(wide_sweep.axes[0])[0] == pytest.approx((4.0, 1.05 * parity_folder.t1(1.0)))  # alpha sqrt(16)


def test_two_alphas_are_no_sweep(make: Make) -> None:
    assert parity_alpha_sweep.figure(make(Made(alphas=(1.0, 10.0)))) is None


def test_one_network_is_followed_step_by_step(make: Make) -> None:
    figure = drawn(parity_time_scale.figure(make(Made(alphas=(1.0,)))))
    titles = [axis.get_title("left") for axis in figure.axes]
    gradient = figure.axes[titles.index("change of the gradient of a step, dgrad")]
    assert [float(np.asarray(line.get_ydata())[0]) for line in gradient.lines] == [5e-4, 1e-3]
    assert gradient.lines[1].get_color() == style.KNOWN
    accuracy = figure.axes[titles.index("accuracy [share of rows]")]
    assert min(np.asarray(accuracy.lines[0].get_ydata())) == 0.5  # not the 0 of the start, where F = 0
    assert "2999 accepted and 1 rejected steps" in notes(figure)


@pytest.mark.parametrize("made", [Made(alphas=(1.0, 2.0)), Made(alphas=(1.0,), dynamics="sgd")])
def test_steps_of_a_flow_are_of_one_network(make: Make, made: Made) -> None:
    assert parity_time_scale.figure(make(made)) is None


def test_maps_are_of_the_checkpoints_before_their_step(wide: Study) -> None:
    figure = drawn(parity_phase_diagram.figure(wide))
    early, middle, late = figure.axes[:3]
    assert [axis.get_title("left") for axis in (early, middle, late)] == [
        f"test accuracy, step {step}" for step in (300, 1000, 3000)
    ]
    values = [np.asarray(axis.collections[0].get_array()).reshape(3, 4) for axis in (early, late)]
    assert values[0][0] == pytest.approx([0.55, 1, 1, 1])  # mean over two seeds; alpha = 1 has t1 = 500
    assert values[1] == pytest.approx(np.ones((3, 4)))
    white = [line for line in early.lines if line.get_color() == "white"]
    a, h = np.asarray(white[0].get_data())
    assert a * h**0.5 == pytest.approx(a[0] * h[0] ** 0.5)


def test_a_cell_without_a_number_is_masked(make: Make) -> None:
    found = {(10.0, 1.0): 0.5, (10.0, 2.0): 0.7, (20.0, 1.0): np.nan, (20.0, 2.0): -1.0}
    of = parity_phase_diagram.Map("", "viridis", logarithmic=True)
    mesh = parity_phase_diagram.heat(Figure().subplots(), found, of, parity_phase_diagram.scale(of, np.array([1, 2.0])))
    assert np.ma.getmaskarray(mesh.get_array()).tolist() == [[False, False], [True, True]]
    assert parity_phase_diagram.figure(make(Made(widths=(10, 20)))) is None


def test_encodings_have_a_colour_and_seeds_a_dot(make: Make) -> None:
    figure = drawn(parity_encoding.figure(make(Made(alphas=(1.0,), encodings=("pm1", "01"), seeds=3))))
    curves, speed = figure.axes[0], figure.axes[1]
    assert len(curves.lines) == 6
    assert len({line.get_color() for line in curves.lines}) == 2
    times = sorted(y for _, y in dots(speed))
    assert times == pytest.approx(sorted([500.0, 550.0, 600.0] * 2))
    assert "pm1: 1 \u2212 2b, 01: b." in notes(figure)
    assert parity_encoding.figure(make(Made())) is None


def test_differences_are_filled_where_significant(make: Make) -> None:
    study = make(Made(measured=True))
    figure = drawn(parity_llc.figure(study))
    moments, across, *_, changes = figure.axes
    assert len(changes.get_yticks()) == 12
    assert hollow(changes) == 3
    assert hollow(moments) == 3  # the flagged ones
    assert len(dots(moments)) == 12  # of the first sampler alone
    assert "Not drawn: sgld" in notes(figure)
    assert [text.get_text() for text in across.get_legend().texts] == ["init", "t1", "final"]  # type: ignore[union-attr]
    assert "Not in the order" not in notes(figure)


def test_moments_out_of_order_are_told(make: Make) -> None:
    study = make(Made(measured=True))
    study.__dict__["moments"] = [{**cells, "step": str(-float(cells["step"]))} for cells in study.moments]
    assert "Not in the order of their time at \u03b1 = 1" in notes(drawn(parity_llc.figure(study)))


def test_of_many_differences_those_from_first_to_last_are_drawn(wide_llc: Figure) -> None:
    assert all("init \u2192 final" in label.get_text() for label in wide_llc.axes[-1].get_yticklabels())
    assert "48 more differences stand in analysis/changes.csv." in notes(wide_llc)


def test_no_learning_coefficient_no_picture_of_it(make: Make) -> None:
    assert parity_llc.figure(make(Made())) is None


def test_labels_are_followed_along_the_eigenvectors(make: Make) -> None:
    figure = drawn(parity_kernels.figure(make(Made())))
    assert [len(axis.images) for axis in figure.axes[:4]] == [1] * 4
    power = next(axis for axis in figure.axes if axis.get_title("left").startswith("share"))
    assert np.asarray(power.lines[0].get_ydata()) == pytest.approx([0, 1, 1, 1, 1, 1])
    assert parity_kernels.figure(make(Made(dynamics="sgd", alphas=(5.0,), widths=(7,)))) is None


def test_ensembles_fall_as_one_over_h(wide: Study, make: Make) -> None:
    figure = drawn(parity_ensembles.figure(wide))
    variance, scaled, *_ = figure.axes
    known = next(line for line in variance.lines if line.get_color() == style.KNOWN)
    measured = variance.lines[3]  # of the largest alpha
    assert np.asarray(known.get_ydata())[-1] == pytest.approx(np.asarray(measured.get_ydata())[-1])
    assert np.asarray(scaled.lines[0].get_ydata()) == pytest.approx([1, 10, 100, 1000])
    assert parity_ensembles.figure(make(Made())) is None


def test_conditions_name_what_was_run(wide: Study) -> None:
    told = parity_study.conditions(wide)
    for part in ("k = 2 of d = 10", "h = 16, 32, 64", "softhinge", "gradient flow;", "2 seeds", "f / \u221ah"):
        assert part in told


def test_a_run_leaves_the_pictures_it_has_numbers_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(Made(alphas=(1.0,), dynamics="sgd", decay=0.01)).folder
    monkeypatch.setattr(style, "save", lambda picture, path: path)
    assert [path.name for path in parity.draw(folder)] == ["parity_grokking.png", "parity_hidden_progress.png"]


@pytest.mark.slow
def test_nothing_overlaps(wide: Study, wide_sweep: Figure, wide_llc: Figure) -> None:
    assert apart(wide_sweep)
    assert apart(wide_llc)
    assert apart(drawn(parity_kernels.figure(wide)))
    assert apart(drawn(parity_ensembles.figure(wide)))


@pytest.mark.slow
def test_every_picture_of_a_run_is_written(make: Make) -> None:
    paths = parity.draw(make(Made(measured=True)).folder)
    assert [path.name for path in paths] == [f"parity_{name}.png" for name in ("alpha_sweep", "llc", "kernels")]
    assert all(path.stat().st_size > 10_000 for path in paths)


@pytest.mark.slow
def test_nothing_overlaps_where_there_are_few(make: Make) -> None:
    made = Made(encodings=("pm1", "01"), seeds=2)
    assert apart(drawn(parity_encoding.figure(make(made))))
    assert apart(drawn(parity_time_scale.figure(make(replace(made, alphas=(1.0,), encodings=(), seeds=1)))))
