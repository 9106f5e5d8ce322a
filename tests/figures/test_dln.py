"""llc_loglog.png and dln_scaling.png."""

from pathlib import Path

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import dln, rows, scaling
from tests.figures.look import dots, hollow, notes
from tests.figures.run_folder import Net, write


def test_one_network_has_no_loglog_figure(one: RunFolder) -> None:
    assert dln.loglog(one) is None


def test_many_networks_of_one_sampler_make_a_square_of_eight_inches(tmp_path: Path) -> None:
    nets = [Net(f"net={i}", 4.0 + i, known=4.0 + i, flags="rhat" if i == 2 else "") for i in range(6)]
    figure = dln.loglog(artifacts.load(write(tmp_path, nets)))
    assert figure is not None
    assert tuple(figure.get_size_inches()) == (8, 8)
    panel = figure.axes[0]
    assert (len(dots(panel)), hollow(panel)) == (6, 1)
    assert panel.get_xscale() == panel.get_yscale() == "log"


def test_samplers_stand_side_by_side_on_the_same_axes(many: RunFolder) -> None:
    figure = dln.loglog(many)
    assert figure is not None
    auto, sgld, bar = figure.axes
    assert (len(dots(auto)), len(dots(sgld))) == (24, 23)
    assert auto.get_xlim() == auto.get_ylim() == sgld.get_xlim() == sgld.get_ylim()
    assert "N = 23  (2 flagged), 1 failed" in sgld.texts[0].get_text()
    assert "parameters" in bar.get_ylabel()
    assert "theory" in auto.get_xlabel()


def test_the_limits_hold_every_positive_value(many: RunFolder) -> None:
    figure = dln.loglog(many)
    assert figure is not None
    values = [value for row in rows.read(many) if not row.failed for value in (row.llc, row.known)]
    assert figure.axes[0].get_xlim() == (0.8 * min(values), 1.2 * max(values))


def test_rows_without_a_known_value_are_named_below(odd: RunFolder) -> None:
    figure = dln.loglog(odd)
    assert figure is not None
    assert "Without a known value, not drawn (1): unknown · auto" in notes(figure)


def test_one_class_has_no_scaling_figure(one: RunFolder) -> None:
    assert scaling.figure(one) is None


def test_every_relative_error_is_a_marker_and_every_class_a_line_of_the_table(many: RunFolder) -> None:
    figure = scaling.figure(many)
    assert figure is not None
    strips, below = figure.axes
    assert (len(dots(strips)), hollow(strips)) == (47, 3)
    assert [label.get_text() for label in strips.get_xticklabels()] == [
        "1k\nauto",
        "1k\nsgld",
        "10k\nauto",
        "10k\nsgld",
    ]
    lines = {line for line, _ in below.tables[0].get_celld()}
    assert len(lines) == 1 + 4
    assert "1 (1)" not in notes(figure)


def test_scaling_is_drawn_before_its_table_is_there(tmp_path: Path) -> None:
    nets = [Net(f"{group}-{i}", 3.0 + i, known=3.0 + i, group=group) for group in ("1k", "10k") for i in range(2)]
    figure = scaling.figure(artifacts.load(write(tmp_path, nets)))
    assert figure is not None
    assert "not there yet" in figure.axes[1].texts[0].get_text()
