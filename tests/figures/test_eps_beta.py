"""eps_beta.png."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.rows import columns
from llcx.figures import eps_beta, rows
from tests.figures.look import apart, notes
from tests.figures.run_folder import Net, row, table, write

NBETAS, STEPS = {"x0.1": 1e3, "x1": 1e4}, {"x0.5": 5e-5, "x1": 1e-4, "x10": 1e-3}


def maps(path: Path, sampler: str = "hmc", points: tuple[str, ...] = ("dln",), known: float | None = 9.5) -> RunFolder:
    """The calibrated choice of each point, and six combinations of which one is flagged and one has no number."""
    found = []
    for point in points:
        found.append(row(0, Net(point, 9.4, sampler, known), "dln"))
        for i, (nbeta, at) in enumerate(NBETAS.items()):
            for j, (step, size) in enumerate(STEPS.items()):
                name = f"{point},nbeta={nbeta},step_size={step}"
                failed = "NaN in chain 2" if (i, j) == (1, 2) else ""
                flags = "fluctuation_high" if (i, j) == (0, 2) else ""
                net = Net(name, 9.0 + i + j, sampler, known, failed=failed, flags=flags, nbeta=at)
                cells: dict[str, Any] = row(1 + i + 3 * j, net, "dln") | {"at.nbeta": nbeta, "at.step_size": step}
                found.append(cells if failed else cells | {"step_size": size})
    write(path, [Net("dln", 9.4, sampler, known)])
    table(path / "metrics_summary.csv", columns(found), found)
    return artifacts.load(path)


def drawn(folder: RunFolder) -> tuple[Figure, list[Axes]]:
    """The figure and its maps, without the colour bars."""
    figure = eps_beta.figure(folder)
    assert figure is not None
    return figure, [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


def shown(axis: Axes) -> dict[tuple[float, float], str]:
    return {text.get_position(): text.get_text() for text in axis.texts}


def test_a_map_has_a_cell_a_combination_with_its_number_in_ascending_order(tmp_path: Path) -> None:
    folder = maps(tmp_path)
    _, panels = drawn(folder)
    cells = {(r.raw["at.nbeta"], r.raw["at.step_size"]): r for r in rows.read(folder)}
    wanted = f"{cells['x0.1', 'x1'].llc:.3g}"
    assert shown(panels[0])[1, 0] == wanted
    assert shown(panels[0])[2, 1] == "\u2013", "no number"
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["5e-5", "0.0001", "0.001"]
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["1000", "10000"]


def test_the_colours_of_the_estimate_are_white_at_the_known_value(tmp_path: Path) -> None:
    _, panels = drawn(maps(tmp_path))
    assert "white at the known 9.5" in panels[0].get_title("left")
    centre = eps_beta.quantities(eps_beta.maps(rows.read(artifacts.load(tmp_path)))[0])[0].norm
    assert float(centre(9.5)) == pytest.approx(0.5)


def test_without_a_known_value_the_calibrated_one_is_the_centre(tmp_path: Path) -> None:
    _, panels = drawn(maps(tmp_path, known=None))
    assert "white at the calibrated" in panels[0].get_title("left")


def test_flagged_cells_are_hatched_and_those_without_a_number_grey(tmp_path: Path) -> None:
    _, (panel, *_) = drawn(maps(tmp_path))
    cells = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    assert [cell.get_xy() for cell in cells if cell.get_hatch()] == [(1.5, -0.5)]
    assert [cell.get_xy() for cell in cells if to_hex(cell.get_facecolor()) == eps_beta.EMPTY] == [(1.5, 0.5)]


def test_a_star_marks_the_calibrated_choice_in_every_map(tmp_path: Path) -> None:
    figure, panels = drawn(maps(tmp_path))
    stars = [np.asarray(line.get_xydata())[0] for panel in panels for line in panel.lines if line.get_marker() == "*"]
    assert len(stars) == 3
    assert all(0.5 < x < 1.5 and 0.5 < y < 1.5 for x, y in stars)
    assert "Calibrated: dln \u00b7 hmc: n\u03b2 10000, step 0.0001" in notes(figure)


def test_a_kernel_that_rejects_nothing_shows_rhat_in_the_place_of_its_acceptance(tmp_path: Path) -> None:
    assert drawn(maps(tmp_path / "a"))[1][2].get_title("left") == "acceptance"
    assert "no Metropolis step" in drawn(maps(tmp_path / "b", "sgld"))[1][2].get_title("left")


def test_flags_and_failures_are_counted_below(tmp_path: Path) -> None:
    told = notes(drawn(maps(tmp_path))[0])
    assert "Flagged: variance high 1." in told
    assert "No number: 1 x failed: NaN in chain 2." in told


def test_of_many_maps_four_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    figure, panels = drawn(maps(tmp_path, points=tuple("abcdef")))
    assert len(panels) == 12
    assert "2 further maps are not shown." in notes(figure)


def test_no_map_reaches_into_another(tmp_path: Path) -> None:
    assert apart(drawn(maps(tmp_path))[0])


def test_a_run_without_both_axes_has_no_such_figure(many: RunFolder) -> None:
    assert eps_beta.figure(many) is None
