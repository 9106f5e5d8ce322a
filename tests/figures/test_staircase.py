"""full_attn_staircase.png."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from llcx import artifacts, theory
from llcx.figures import staircase, trajectories
from llcx.figures.trajectories import Key, Study
from tests.figures import attention_folder as made
from tests.figures.attention_folder import Journey
from tests.figures.look import apart, dots, notes

CLIMB = Journey(
    d=3,
    widths=(3,),
    seeds=1,
    epochs=tuple(range(0, 401, 40)),
    views=("full",),
    samplers=("auto",),
    spread=2.0,
    where="W_Q,W_K",
)
KEY = Key(3, 3, -1, 100, 0)


def read(path: Path, journey: Journey) -> Study:
    return trajectories.read(artifacts.load(made.full_attn(path, journey)))


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read(tmp_path_factory.mktemp("climb"), CLIMB)


def test_loss_spectrum_and_estimates_share_their_time(climb: Study) -> None:
    figure = staircase.figure(climb)
    assert figure is not None
    loss, spectrum, estimates = figure.axes
    assert loss.get_xlim() == spectrum.get_xlim() == estimates.get_xlim()
    assert len(spectrum.lines) == 3
    assert len(dots(estimates, "auto")) == 11


def test_each_rank_has_a_level_that_is_named_with_its_value(climb: Study) -> None:
    figure = staircase.figure(climb)
    assert figure is not None
    told = [text.get_text() for text in figure.axes[2].texts]
    assert [float(theory.dln([4, 3, 3], rank).lam) for rank in range(4)] == [4, 5, 5.5, 6]
    assert told == ["r = 0:  4", "r = 1:  5", "r = 2:  5.5", "r = 3:  6"]


def test_levels_that_would_touch_have_one_name() -> None:
    axis = Figure().subplots()
    axis.set_ylim(0, 10)
    staircase.levels(axis, staircase.steps(Key(3, 4, -1, 100, 0), "W_Q,W_K"), 1.0)
    assert [float(theory.dln([4, 4, 3], rank).lam) for rank in range(4)] == [5, 5.5, 6, 6]
    assert [text.get_text() for text in axis.texts] == ["r = 0:  5", "r = 1:  5.5", "r = 2 to 3:  6"]


def test_the_ranks_that_theory_sees_are_named_in_their_order(climb: Study) -> None:
    figure = staircase.figure(climb)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["rank U = 0", "1", "2", "3"]


def test_theory_steps_once_a_rank_at_the_temperature_of_the_rows(climb: Study) -> None:
    figure = staircase.figure(climb)
    assert figure is not None
    (line,) = (line for line in figure.axes[2].lines if line.get_label() == "theory")
    levels = [theory.dln([4, 3, 3], rank).at(1e4) for rank in range(4)]
    assert levels != [4.0, 5.0, 5.5, 6.0]  # some have multiplicity 2
    assert list(dict.fromkeys(np.asarray(line.get_ydata()).tolist())) == levels
    assert line.get_drawstyle() == "steps-mid"


def test_a_row_sees_the_rank_of_its_theory_and_among_equal_ones_that_of_the_table(climb: Study) -> None:
    (one,) = climb.trajectories
    found = staircase.steps(Key(3, 8, -1, 100, 0), "W_Q,W_K")
    assert {float(step.lam) for step in found} == {6.0}
    row = replace(one.rows[0], known=6.0, raw=one.rows[0].raw | {"known_at": ""})
    told = {**one.ranks, 0: {"directions": "2"}}
    assert staircase.seen(replace(one, ranks=told), found, row) == 2
    assert staircase.seen(one, found, replace(row, known=np.nan)) is None


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_with_all_parameters_a_level_is_higher_by_the_values(rank: int) -> None:
    part = staircase.steps(KEY, "W_Q,W_K")[rank]
    whole = staircase.steps(KEY, "all")[rank]
    assert (whole.lam - part.lam, whole.mult) == (3 / 2, part.mult)


def test_without_a_direction_the_smaller_of_both_factors_decides() -> None:
    assert staircase.steps(KEY, "all")[0] == min(theory.dln([4, 3, 3], 0), theory.dln([1, 3, 4], 0))


def test_no_level_is_told_for_other_parameters() -> None:
    assert staircase.steps(KEY, "W_V,W_O") == []
    assert staircase.steps(Key(-1, -1, -1, -1, 0), "all") == []


def test_other_parameters_have_estimates_without_levels(tmp_path: Path) -> None:
    figure = staircase.figure(read(tmp_path, CLIMB._replace(where="W_V,W_O")))
    assert figure is not None
    assert not figure.axes[0].texts
    assert not figure.axes[2].texts
    assert "Sampled: W_V,W_O; all others stay" in notes(figure)


@pytest.mark.parametrize(
    "other",
    [CLIMB._replace(seeds=2), CLIMB._replace(epochs=(0, 200, 400)), CLIMB._replace(views=("lsa",))],
    ids=["two trainings", "three checkpoints", "another view"],
)
def test_only_one_training_with_many_checkpoints_makes_a_staircase(tmp_path: Path, other: Journey) -> None:
    assert staircase.figure(read(tmp_path, other)) is None


def test_nothing_overlaps(climb: Study) -> None:
    figure = staircase.figure(climb)
    assert figure is not None
    assert apart(figure)
