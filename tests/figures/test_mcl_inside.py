"""mcl_geometry.png, mcl_causal.png, mcl_units.png and mcl_sheet.png: what is inside of trained machines."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.figures import mcl_causal, mcl_geometry, mcl_panels, mcl_sheet, mcl_units
from llcx.figures.mcl_study import Study
from tests.figures import mcl_folder
from tests.figures.look import dots
from tests.figures.mcl_folder import KINDS, LAYERS, Made

MODULES = (mcl_geometry, mcl_causal, mcl_units, mcl_sheet)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(artifacts.load(mcl_folder.write(tmp_path_factory.mktemp("mcl"), Made(seeds=2, pictures=2))))


@pytest.fixture(scope="module")
def geometry(study: Study) -> dict[str, Axes]:
    return titles(drawn(mcl_geometry.figure(study)))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def titles(figure: Figure) -> dict[str, Axes]:
    return {axis.get_title("left"): axis for axis in figure.axes}


def shown(axis: Axes) -> np.ma.MaskedArray:
    """The values of a heat map."""
    values = axis.images[0].get_array()
    assert values is not None
    return np.ma.masked_invalid(values)


def test_layers_stand_in_one_order_in_all_arms(geometry: dict[str, Axes]) -> None:
    maps = {name: shown(geometry[name]) for name in ("b0", "full")}
    assert [bool(np.ma.getmaskarray(maps["b0"])[row].all()) for row in range(5)] == [False] * 4 + [True]  # no z
    assert not np.ma.getmaskarray(maps["full"]).any()
    assert float(maps["full"][1, 2]) == pytest.approx(0.88)
    layers = geometry["CKA, compositions never trained"]
    assert [label.get_text() for label in layers.get_xticklabels()] == list(LAYERS)
    bands = [patch.get_x() for patch in layers.patches if isinstance(patch, Rectangle)]
    assert bands == [LAYERS.index("h") - 0.5]  # where the loss acts
    assert {round(y, 3) for x, y in dots(layers) if abs(x - 1) < 0.5} == {0.9, 0.904, 0.95, 0.954}


def test_distances_stand_beside_their_floor(geometry: dict[str, Axes]) -> None:
    axis = geometry["distance beyond the floor, compositions never trained"]
    floors = [np.asarray(line.get_ydata()) for line in axis.lines if line.get_linestyle() == ":"]
    dotted = floors or [np.asarray(line.get_ydata()) for line in axis.lines if line.is_dashed()]
    assert [set(each.tolist()) for each in dotted] == [{0.3}, {0.3}]


def test_a_removal_is_told_with_the_variance_that_went(study: Study) -> None:
    figure = drawn(mcl_causal.figure(study))
    left, right = figure.axes
    first = sorted(y for x, y in dots(left) if abs(x) < 0.5)
    assert first == pytest.approx([0.4, 0.404, 0.45, 0.454])
    assert {round(x, 2) for x, _ in dots(right)} == {round(1.2 * drop, 2) for drop in KINDS.values()}
    assert len(dots(right)) == 2 * (4 + 5)  # b0 has no autoencoder to splice


def test_a_unit_is_most_active_with_its_own_primitive(study: Study) -> None:
    figure = drawn(mcl_units.figure(study))
    panels = titles(figure)
    values = shown(panels["full: 5 of 6"])
    assert np.diag(values).tolist() == [1.0] * 6
    assert float(values[0, 1]) < 1
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert [("not significant" in word) for word in words if "AUROC" in word] == [False] * 5 + [True]
    assert [y for x, y in dots(panels["AUROC of each unit (chance 0.5)"]) if abs(x - 5) < 0.5] == pytest.approx(
        [0.9] * 2
    )


def test_cells_that_differ_are_marked(study: Study) -> None:
    assert list(titles(drawn(mcl_sheet.figure(study)))) == [
        f"{split}: all right b0 1, full 1 of 2" for split in ("val_id", "val_ood", "test_pair", "test_len3")
    ]
    made, target = (study.arrays("sheets")[f"mcl,arm=full,seed=0/val_id/{key}"] for key in ("predicted", "target"))
    wrong = (mcl_sheet.differences(made, target) == to_rgb(mcl_sheet.WRONG)).all(-1)
    assert wrong.sum((1, 2)).tolist() == [0, 1]


def test_compositions_have_short_names_and_grids_as_many_colours_as_they_need() -> None:
    assert mcl_panels.code("shift+flip+fill_component") == "SFL"
    palette = mcl_panels.palette(20)
    assert len(np.unique(palette.round(6), axis=0)) == 20


@pytest.mark.parametrize("module", MODULES)
def test_no_table_no_picture(module: object, tmp_path: Path) -> None:
    assert module.figure(Study(RunFolder(tmp_path))) is None  # type: ignore[attr-defined]


def test_what_is_left_out_is_said(study: Study, tmp_path: Path) -> None:
    more = Study(artifacts.load(mcl_folder.write(tmp_path, Made(arms=("b0", "b2", "full"), seeds=1))))
    told = [" ".join(mcl_sheet.notes(each, mcl_sheet.chosen(each, each.arrays("sheets")))) for each in (study, more)]
    assert ["Not drawn: b2" in each for each in told] == [False, True]
