"""Figures of parity networks in discrete steps, and of the output scale at which they turn lazy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.figures import parity_alpha_star, parity_grokking, parity_hidden_progress, style
from llcx.figures.parity_study import Study
from tests.figures import parity_folder
from tests.figures.look import dots, notes
from tests.figures.parity_folder import Made
from tests.figures.run_folder import table

ONE = Made(alphas=(1.0,), dynamics="sgd", decay=0.01)
Make = Callable[[Made], Study]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(parity_folder.write(tmp_path, made)))


def titles(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [axis.get_title("left") for axis in figure.axes]


def test_fourier_coefficients_are_drawn_where_they_are(make: Make) -> None:
    without = titles(parity_hidden_progress.figure(make(ONE)))
    found = ("fourier", "fourier_other", "fourier_gap", "gradient_relevant", "gradient_irrelevant", "gradient_gap")
    study = make(Made(alphas=(1.0,), dynamics="sgd", extra=found))
    added = [title for title in titles(parity_hidden_progress.figure(study)) if title not in without]
    assert added == [
        "Fourier coefficients of $F$",
        "gap between these",
        "gradient of the population, rms",
        "its gap, weakest relevant less strongest other",
    ]


def test_hidden_progress_is_of_discrete_steps(make: Make) -> None:
    assert parity_hidden_progress.figure(make(Made(alphas=(1.0,)))) is None


def test_several_networks_have_a_colour_each(make: Make) -> None:
    figure = parity_hidden_progress.figure(make(Made(alphas=(1.0,), dynamics="sgd", seeds=3)))
    assert figure is not None
    assert [text.get_text() for text in figure.legends[0].texts] == ["seed = 0", "seed = 1", "seed = 2"]


def test_grokking_says_when_rows_were_right(make: Make) -> None:
    figure = parity_grokking.figure(make(ONE))
    assert figure is not None
    assert "99% of the training rows right: step 900, of the test rows: step 900." in notes(figure)
    accuracy = np.asarray(figure.axes[0].lines[0].get_ydata())
    assert (accuracy[0], accuracy[-1]) == (0.5, 1)


@pytest.mark.parametrize("made", [Made(alphas=(1.0,), dynamics="sgd"), Made(alphas=(1.0,), decay=0.01)])
def test_without_decay_or_with_a_flow_nothing_groks(make: Make, made: Made) -> None:
    assert parity_grokking.figure(make(made)) is None


def test_neurons_are_drawn_where_they_were_counted(make: Make) -> None:
    study = make(ONE)
    who = {"training": "parity", "member": ""}
    norms = [{**who, "moment": m, "neuron": i, "norm": 1 + i} for m in ("init", "final") for i in range(3)]
    needed = [{**who, "moment": m, "neurons_needed": n, "accuracy": 1.0} for m, n in (("init", 90), ("final", 5))]
    table(study.folder.path / "analysis" / "neurons.csv", tuple(norms[0]), norms)
    table(study.folder.path / "analysis" / "sparsity.csv", tuple(needed[0]), needed)
    figure = parity_grokking.figure(study)
    assert figure is not None
    sizes, counts = figure.axes[-2:]
    assert np.asarray(sizes.lines[0].get_ydata()).tolist() == [3, 2, 1]
    assert dots(counts) == [(0, 90), (1, 5)]


@pytest.mark.parametrize(("scale", "slopes"), [("ntk", [-0.5, 0.0]), ("mf", [0.0])])
def test_the_expected_slope_goes_through_the_largest_width(make: Make, scale: str, slopes: list[float]) -> None:
    study = make(Made(scale=scale))
    lines = [
        {"h": h, "alpha_star": 20 / h, "alpha_star_reduced": 20 / h**0.5, "low": 19 / h, "high": 21 / h, "seeds": 2}
        for h in (10, 40)
    ]
    table(study.folder.path / "analysis" / "alpha_star.csv", tuple(lines[0]), lines)
    figure = parity_alpha_star.figure(study)
    assert figure is not None
    for axis, slope in zip(figure.axes, slopes, strict=True):
        (known,) = [line for line in axis.lines if line.get_color() == style.KNOWN]
        first, last = np.asarray(known.get_ydata())
        assert np.log(last / first) / np.log(4) == pytest.approx(slope)
        assert last == pytest.approx(dots(axis)[-1][1])


def test_no_search_no_picture_of_it(make: Make) -> None:
    assert parity_alpha_star.figure(make(Made())) is None
