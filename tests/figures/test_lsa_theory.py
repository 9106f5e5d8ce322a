"""lsa_gap.png and lsa_phases.png."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_hex

from llcx import artifacts, theory
from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_csv
from llcx.figures import lsa, lsa_phases, lsa_theory, style
from tests.figures import attention_folder as made
from tests.figures.look import apart
from tests.figures.run_folder import table

D, WIDEST = 6, 24


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The two theories at d = 6, and no point."""
    return artifacts.load(made.theory_only(tmp_path_factory.mktemp("theory"), D, WIDEST))


def curves(panel: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Those of the alphas: lines of one point a d_l."""
    lines = [np.asarray(line.get_data(), dtype=float) for line in panel.lines]
    return [(line[0], line[1]) for line in lines if line.shape[1] == WIDEST]


def test_a_run_without_points_leaves_the_theories_alone(both: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "save", lambda figure, path: path)
    assert [path.name for path in lsa.draw(both)] == ["lsa_gap.png", "lsa_phases.png"]


def test_without_their_table_the_theories_are_not_drawn(tmp_path: Path) -> None:
    folder = artifacts.load(made.lsa(tmp_path, made.problems(2)))
    assert lsa_theory.gap(folder) is None
    assert lsa_phases.figure(folder) is None


def test_each_rank_asked_for_has_a_panel_with_a_curve_an_alpha(both: RunFolder) -> None:
    figure = lsa_theory.gap(both)
    assert figure is not None
    assert [panel.get_title("left") for panel in figure.axes] == ["rank M = 1", "rank M = 5"]  # 10 and 14 exceed d
    assert [len(curves(panel)) for panel in figure.axes] == [3, 3]


@pytest.mark.parametrize("alpha", [0, 1, 2])
def test_a_curve_is_the_difference_of_the_theories_where_such_matrices_exist(both: RunFolder, alpha: int) -> None:
    figure = lsa_theory.gap(both)
    assert figure is not None
    widths, values = curves(figure.axes[0])[alpha]
    wanted = [
        float(theory.dln([D + 1, int(d_l), D + 1], 1 + alpha).lam - theory.dln([D, int(d_l), D], 1).lam)
        for d_l in widths[alpha:]
    ]
    assert values[alpha:].tolist() == wanted
    assert np.isnan(values[:alpha]).all()
    assert wanted[-1] == D + 0.5


def test_ranks_that_the_table_lacks_are_replaced_by_its_own(tmp_path: Path) -> None:
    figure = lsa_theory.gap(artifacts.load(made.theory_only(tmp_path, 5, 12)))
    assert figure is not None
    assert len(figure.axes) == 2
    lines = [line for line in read_csv(tmp_path / "analysis" / "gap.csv") if line["rank"] in "02"]
    table(tmp_path / "analysis" / "gap.csv", tuple(lines[0]), lines)
    figure = lsa_theory.gap(artifacts.load(tmp_path))
    assert figure is not None
    assert [panel.get_title("left") for panel in figure.axes] == ["rank M = 2"]


def test_the_map_masks_what_is_impossible(both: RunFolder) -> None:
    figure = lsa_phases.figure(both)
    assert figure is not None
    for alpha, panel in enumerate(figure.axes[:3]):
        (mesh,) = (found for found in panel.collections if isinstance(found, QuadMesh))
        masked = np.ma.getmaskarray(np.ma.masked_invalid(np.ma.asarray(mesh.get_array()))).ravel()
        possible = [r + alpha <= min(d_l, D + 1) for r in range(D + 1) for d_l in range(1, WIDEST + 1)]
        assert masked.tolist() == [not one for one in possible]


def test_each_double_pole_has_a_stroke_and_alternates_with_parity(both: RunFolder) -> None:
    figure = lsa_phases.figure(both)
    assert figure is not None
    for alpha, panel in enumerate(figure.axes[:3]):
        strokes = {to_hex(np.asarray(s.get_color())[0]): s for s in panel.collections if isinstance(s, LineCollection)}
        for colour, size, more in ((lsa_phases.MATRIX, D, 0), (lsa_phases.FULL, D + 1, alpha)):
            places = {tuple(np.asarray(path.vertices).mean(0)) for path in strokes[colour.lower()].get_paths()}
            wanted = {
                (d_l, r)
                for r in range(D + 1)
                for d_l in range(1, WIDEST + 1)
                if r + alpha <= min(d_l, D + 1) and theory.dln([size, d_l, size], r + more).mult == 2
            }
            assert {(round(x), round(y)) for x, y in places} == wanted
            assert len({(d_l + r) % 2 for d_l, r in wanted}) == 1


def test_phases_end_where_nothing_changes_any_more(both: RunFolder) -> None:
    figure = lsa_phases.figure(both)
    assert figure is not None
    assert figure.axes[0].get_xlim() == (0.5, 2 * D + 6.5)
    assert "Not drawn: d_l > 18" in figure.texts[1].get_text()


def test_nothing_overlaps(both: RunFolder) -> None:
    for figure in (lsa_theory.gap(both), lsa_phases.figure(both)):
        assert figure is not None
        assert apart(figure)
