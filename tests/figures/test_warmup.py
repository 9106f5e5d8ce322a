"""llc_warmup.png."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import write_arrays
from llcx.figures import warmup
from tests.figures.look import apart, notes
from tests.figures.run_folder import Net, write

W = 61  # numbers along a warm-up of 60 steps, its start included


def watched(path: Path, nets: list[Net]) -> RunFolder:
    """A run whose kernels told of their warm-up and of their steps: those named sgld have no step to adapt."""
    folder = artifacts.load(write(path, nets))
    for cells in folder.rows:
        found = dict(folder.draws(cells))
        if cells["sampler"] != "sgld":
            found |= {"settling.step_size": np.geomspace(1e-3, 1e-2, W), "settling.accept": np.full(W, 0.9)}
        if cells["sampler"] == "mclmc":
            found |= {"settling.length": np.linspace(1, 2, W), "settling.metric_low": np.full(W, 0.1)}
        shape = found["energy"].shape
        found |= {
            f"norm.{name}": np.full(shape, size) for name, size in (("grad", 40.0), ("drift", 1e-3), ("noise", 1e-2))
        }
        write_arrays(path / artifacts.draws_path(cells), found)
    return folder


def heads(folder: RunFolder) -> list[str]:
    figure = warmup.figure(folder)
    assert figure is not None
    return [axis.get_ylabel() for axis in figure.axes]


def test_a_kernel_that_adapts_shows_energies_step_acceptance_and_norms(tmp_path: Path) -> None:
    found = heads(watched(tmp_path, [Net("a", 9.0, "hmc")]))
    assert found == [r"$n\beta(L-L^*)$  [nats]", "step size", "acceptance", "norm"]


def test_what_has_units_of_its_own_is_drawn_over_its_last_value(tmp_path: Path) -> None:
    figure = warmup.figure(watched(tmp_path, [Net("a", 9.0, "mclmc")]))
    assert figure is not None
    (panel,) = (axis for axis in figure.axes if axis.get_ylabel() == "over its last value")
    assert np.asarray(panel.lines[0].get_ydata())[[0, -1]].tolist() == [0.5, 1.0]
    assert panel.get_legend_handles_labels()[1] == ["length"]
    assert "metric" in [axis.get_ylabel() for axis in figure.axes]


def test_the_time_axis_counts_the_kernels_steps(tmp_path: Path) -> None:
    folder = watched(tmp_path, [Net("a", 9.0, "hmc")])
    figure = warmup.figure(folder)
    assert figure is not None
    assert np.asarray(figure.axes[1].lines[0].get_xdata())[-1] == 60
    assert warmup.along(warmup.rows.read(folder)[0], 101)[-1] == 60


def test_a_kernel_whose_step_is_fixed_says_so(tmp_path: Path) -> None:
    figure = warmup.figure(watched(tmp_path, [Net("a", 9.0, "hmc"), Net("a", 9.0, "sgld")]))
    assert figure is not None
    told = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert "fixed step 0.0001" in told
    assert "no Metropolis step" in told


def test_unsettled_measurements_come_first_and_are_named(tmp_path: Path) -> None:
    nets = [Net(f"a{k}", 9.0, "hmc", flags="warmup_not_settled" if k == 7 else "") for k in range(8)]
    figure = warmup.figure(watched(tmp_path, nets))
    assert figure is not None
    assert figure.axes[0].get_title("left") == "a7 \u00b7 hmc,  60 steps"
    assert figure.axes[0].texts[0].get_text() == "warm-up too short"
    assert "4 of 8 measurements shown" in notes(figure)
    assert "Not settled when the draws began (1): a7 \u00b7 hmc" in notes(figure)


def test_no_panel_reaches_into_another(tmp_path: Path) -> None:
    figure = warmup.figure(watched(tmp_path, [Net("a", 9.0, "hmc", flags="rhat;drift"), Net("a", 9.0, "sgld")]))
    assert figure is not None
    assert apart(figure)


def test_a_run_whose_kernels_told_nothing_has_no_such_figure(many: RunFolder, dead: RunFolder) -> None:
    assert warmup.figure(many) is None
    assert warmup.figure(dead) is None


def test_lost_draws_are_said(tmp_path: Path) -> None:
    folder = watched(tmp_path, [Net("a", 9.0, "hmc"), Net("b", 9.0, "hmc")])
    (tmp_path / artifacts.draws_path(folder.rows[1])).unlink()
    figure = warmup.figure(folder)
    assert figure is not None
    assert any("draws not found" in text.get_text() for axis in figure.axes for text in axis.texts)


@pytest.mark.parametrize("values", [np.array([1e-3, 1e-2]), np.array([5.0, 5.0])])
def test_positive_numbers_stand_on_a_logarithmic_axis(values: np.ndarray) -> None:
    axis = Figure().subplots()
    axis.plot([0, 1], values)
    warmup.logarithmic(axis)
    assert axis.get_yscale() == "log"
