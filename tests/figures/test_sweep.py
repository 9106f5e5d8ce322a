"""collected.png."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts.rows import columns, texts
from llcx.figures import style
from llcx.figures.sweep import figure
from llcx.figures.sweep_axes import chosen
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.run_folder import Net, row

Lines = list[dict[str, str]]
Jobs = Sequence[tuple[Mapping[str, Any], Sequence[Net] | str]]  # swept values; measurements, or a state without any


def collected(jobs: Jobs) -> tuple[Lines, Lines]:
    """Lines of collected.csv and jobs.csv."""
    measured: Lines = []
    lines: Lines = []
    for index, (told, nets) in enumerate(jobs):
        state = nets if isinstance(nets, str) else "completed"
        mine = [] if isinstance(nets, str) else [texts(row(index, net, "dln")) for net in nets]
        swept = {f"sweep.{key}": str(value) for key, value in told.items()}
        measured += [{"job": str(index), "state": state, **swept, **cells} for cells in mine]
        error = "boom" if state == "failed" else ""
        lines.append({"job": str(index), "state": state, "error": error, "rows": str(len(mine)), **swept})
    names = columns(measured)
    return [{**dict.fromkeys(names, ""), **cells} for cells in measured], lines


def drawn(jobs: Jobs, x: str | None = None, y: str | None = None) -> Figure:
    return figure(*collected(jobs), x=x, y=y)


def net(lam: float, known: float | None = None, sampler: str = "hmc", point: str = "a", flags: str = "") -> Net:
    return Net(point, lam, sampler, known, flags=flags, draws=8, warmup=8)


def steps(*values: float, seeds: int = 2, sampler: str = "sgld") -> Jobs:
    return [
        ({"sampler.step_size": step, "seed": seed}, [net(9.0 + step + 0.1 * seed, 9.5, sampler)])
        for step in values
        for seed in range(seeds)
    ]


def known_lines(axis: Axes) -> list[float]:
    """Heights of the lines of known values."""
    return [float(np.asarray(line.get_ydata())[0]) for line in axis.lines if line.get_label() == "known value"]


@pytest.mark.parametrize(
    ("jobs", "key", "kind"),
    [
        (steps(0.1, 0.2, 0.3), "sampler.step_size", "linear"),
        (steps(1e-5, 1e-4, 1e-2), "sampler.step_size", "log"),
        (steps(0.1), "seed", "linear"),
        ([({"task.model.act": act, "n": n, "seed": 0}, [net(3.0)]) for act in ("relu", "tanh", "gelu") for n in (1, 2)],
         "n", "linear"),
        ([({"task.model.act": act, "sampler": sampler}, [net(3.0)]) for act in ("relu", "tanh") for sampler in "ab"],
         "task.model.act", "names"),
        ([({"sampler": sampler, "seed": 0}, [net(3.0)]) for sampler in "ab"], "sampler", "names"),
        ([({}, [net(3.0)]), ({}, [net(3.1)])], "job", "names"),
    ],
)  # fmt: skip
def test_numbers_lie_across_before_names_and_names_before_seeds(jobs: Jobs, key: str, kind: str) -> None:
    _, lines = collected(jobs)
    keys = [name.removeprefix("sweep.") for name in lines[0] if name.startswith("sweep.")]
    keys = [name for name in keys if len({line[f"sweep.{name}"] for line in lines}) > 1]
    found = chosen(lines, keys, None)
    assert (found.key, found.kind) == (key, kind)
    picture = drawn(jobs)
    assert picture.axes[-1].get_xlabel() == key


def test_every_measurement_is_drawn_at_its_value_flagged_ones_hollow() -> None:
    jobs = [*steps(0.1, 0.2, 0.3), ({"sampler.step_size": 0.3, "seed": 2}, [net(9.9, 9.5, "sgld", flags="rhat")])]
    (axis,) = drawn(jobs).axes
    measured, _ = collected(jobs)
    assert sorted(y for _, y in dots(axis)) == pytest.approx(sorted(float(line["llc"]) for line in measured))
    assert hollow(axis) == 1
    assert all(min(abs(x - at) for at in (0.1, 0.2, 0.3)) < 0.03 for x, _ in dots(axis))
    assert known_lines(axis) == [9.5]


def test_samplers_have_their_own_colours_and_places() -> None:
    (axis,) = drawn([*steps(0.1, 0.2), *steps(0.1, 0.2, sampler="hmc")]).axes
    colours = {line.get_color() for line in axis.lines}
    assert {style.colour("sgld"), style.colour("hmc")} <= colours
    assert len({x for x, _ in dots(axis)}) == 8


def test_a_known_value_that_moves_with_the_axis_is_a_dash_at_each_of_its_values() -> None:
    (axis,) = drawn([({"task.model.width": w}, [net(w / 2, w / 2)]) for w in (2, 4, 8)]).axes
    dashes = [s for c in axis.collections if c.get_label() == "known value" for s in c.get_segments()]  # type: ignore[attr-defined]
    assert sorted(float(dash[0][1]) for dash in dashes) == [1.0, 2.0, 4.0]


def test_points_of_different_known_values_are_compared_by_their_errors() -> None:
    many = [net(k * 1.1, float(k), point=f"net={k}") for k in range(2, 12)]
    (axis,) = drawn([({"sampler.step_size": step}, many) for step in (0.1, 0.2)]).axes
    assert axis.get_ylabel() == "relative error"
    assert known_lines(axis) == [0.0]
    few = drawn([({"sampler.step_size": step}, many[:2]) for step in (0.1, 0.2)])
    assert [axis.get_title("left") for axis in few.axes] == ["net=2", "net=3"]
    assert [known_lines(axis) for axis in few.axes] == [[2.0], [3.0]]


def test_settings_that_are_no_axis_have_panels_and_too_many_of_them_are_named() -> None:
    jobs = [({"task.model.act": act, "x": x}, [net(3.0 + x)]) for act in ("relu", "tanh") for x in (1, 2)]
    assert [axis.get_title("left") for axis in drawn(jobs).axes] == ["act relu", "act tanh"]
    crowded = drawn(
        [({"a": f"a{a}", "b": f"b{b}", "x": x}, [net(3.0)]) for a in range(3) for b in range(5) for x in (1, 2)]
    )
    assert len(crowded.axes) == 3
    assert "Not told apart here: b." in notes(crowded)


def test_what_has_no_number_is_marked_where_it_would_stand() -> None:
    dead = net(3.0, 3.0)._replace(failed="nan in chain 2 at draw 17")
    other = dead._replace(failed="nan in chain 1 at draw 5")
    jobs: Jobs = [
        ({"x": 1, "seed": 0}, [net(3.0, 3.0)]),
        ({"x": 2, "seed": 0}, [dead]),
        ({"x": 2, "seed": 1}, [other]),
        ({"x": 3, "seed": 0}, "failed"),
        ({"x": 3, "seed": 1}, "missing"),
        ({"x": 1, "seed": 1}, "running"),
    ]
    picture = drawn(jobs)
    (axis,) = picture.axes
    assert [round(x) for x, _ in dots(axis, "no number")] == [2, 3]
    assert [round(x) for x, _ in dots(axis, "not done yet")] == [3, 1]
    assert [text.get_text().strip() for text in axis.texts] == ["2"]
    assert "No number: 2 x failed: nan in chain 2 at draw 17; 1 x job failed: boom" in notes(picture)
    assert "6 jobs: 3 completed, 1 failed, 1 missing, 1 running." in notes(picture)


def test_a_wild_estimate_stands_on_the_edge_and_does_not_shrink_the_others() -> None:
    jobs = [*steps(0.1, 0.2, 0.3), ({"sampler.step_size": 0.4, "seed": 0}, [net(900.0, 9.5, "sgld")])]
    (axis,) = drawn(jobs, y="rel_error").axes
    assert axis.get_ylim()[1] < 2
    assert len(dots(axis, "beyond the frame")) == 1
    (axis,) = drawn(jobs).axes
    assert axis.get_ylim()[1] < 60
    mostly = [({"x": x}, [net(9.6 if x < 2 else 900.0, 9.5)]) for x in range(5)]
    assert drawn(mostly, y="rel_error").axes[0].get_ylim()[1] < 2


def test_many_repetitions_are_drawn_together_at_their_median() -> None:
    jobs = [({"x": x, "seed": seed}, [net(x + seed / 100, float(x))]) for x in (1, 2, 3) for seed in range(21)]
    (axis,) = drawn(jobs).axes
    measured, _ = collected(jobs)
    values = sorted(float(line["llc"]) for line in measured if line["sweep.x"] == "2")
    assert (2.0, pytest.approx(values[10])) in dots(axis)
    assert len(dots(axis)) == 3


def test_another_column_can_be_drawn_over_another_key() -> None:
    jobs = [({"x": x, "b": b}, [net(3.0)]) for x in (1, 2) for b in (1, 2, 3)]
    picture = drawn(jobs, x="x", y="seconds")
    assert len(picture.axes) == 3
    assert {y for axis in picture.axes for _, y in dots(axis)} == {1.25}
    with pytest.raises(ValueError, match="--x must be one of x, b, got seed"):
        drawn(jobs, x="seed")


def test_without_any_number_the_picture_says_so() -> None:
    picture = drawn([({"x": 1}, "failed"), ({"x": 2}, "missing")])
    assert picture.axes[0].texts[0].get_text() == "No measurement has a number yet."
    assert "boom" in notes(picture)


@pytest.mark.parametrize(
    "jobs",
    [
        [*steps(1e-5, 1e-4, 1e-3, 1e-2), *steps(1e-5, 1e-4, 1e-3, sampler="hmc")],
        [({"act": f"a long name of an activation {k}", "x": x}, [net(3.0 + k)]) for k in range(9) for x in (1, 2)],
        [({"task.model.act": f"name {k} $x^2$"}, [net(3.0 + k, 3.0)]) for k in range(14)],
        [({"x": 1}, [net(-500.0, 4.0), net(4.0, 4.0)]), ({"x": 1e6}, "killed")],
        [({"x": k}, [net(math.exp(k))]) for k in range(6)],
    ],
)
def test_panels_titles_legend_and_notes_keep_apart(jobs: Jobs) -> None:
    assert apart(drawn(jobs))
