"""Figures of task=vae of single networks: what their latents carry, their images, and which of them are drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts.files import write_arrays
from llcx.figures import vae_arms, vae_latents, vae_pictures
from llcx.figures.vae_study import Study
from tests.figures import vae_folder
from tests.figures.look import notes
from tests.figures.vae_arms import Made

Make = Callable[[Made], Study]
VARIANTS = ("vae", "scalefree", "exp")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(vae_folder.write(tmp_path, made)))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two parametrisations, three gammas; the first seed of the largest has no number of raw."""
    made = Made(ways=("raw", "whitened"), seeds=2, lost=(("raw", 0.8, 0),))
    return Study(artifacts.load(vae_folder.write(tmp_path_factory.mktemp("swept"), made)))


@pytest.fixture(scope="module")
def latents(swept: Study) -> Figure:
    return drawn(vae_latents.figure(swept))


@pytest.fixture(scope="module")
def pictures(swept: Study) -> Figure:
    return drawn(vae_pictures.figure(swept))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axis for axis in figure.axes if axis.get_title("left") == title]
    return found


def cells(axis: Axes) -> np.ma.MaskedArray:
    """Nats as drawn, a row a latent."""
    found: np.ma.MaskedArray = np.ma.asarray(axis.collections[0].get_array())
    return found


def ticks(axis: Axes) -> list[str]:
    return [label.get_text() for label in axis.get_xticklabels()]


def test_maps_hold_the_nats_of_each_latent(latents: Figure) -> None:
    axis = panel(latents, "at the end, whitened")
    assert ticks(axis) == ["0", "0.4", "0.8"]
    expected = np.array([3.0 / i if i <= 4 else vae_latents.LEAST for i in range(1, 9)])
    assert np.asarray(cells(axis)) == pytest.approx(np.tile(expected[:, None], 3))
    assert axis.get_ylim() == (8.5, 0.5)  # the first latent on top


def test_a_training_without_an_end_is_grey_there(latents: Figure) -> None:
    hidden = np.ma.getmaskarray(cells(panel(latents, "at the end, raw")))
    assert hidden.all(0).tolist() == [False, False, True] == hidden.any(0).tolist()
    assert not np.ma.getmaskarray(cells(panel(latents, "at the end, whitened"))).any()
    assert "Grey: no number." in notes(latents)
    assert "1 of 2 of raw \u03b3 = 0.8" in notes(latents)


def test_courses_are_of_the_gammas_farthest_apart(swept: Study, latents: Figure) -> None:
    axis = panel(latents, "along training, whitened, \u03b3 = 0.8")
    kl = swept.courses["vae,gamma=0.8,parametrisation=whitened,seed=0/kl"]
    assert np.asarray(cells(axis)) == pytest.approx(np.maximum(kl.T, vae_latents.LEAST))
    assert ticks(axis)[0] == "0"
    assert panel(latents, "along training, whitened, \u03b3 = 0")
    assert not any("0.4" in each.get_title("left") for each in latents.axes)


def test_the_prediction_is_a_line_below_as_many_latents(latents: Figure) -> None:
    (line,) = panel(latents, "at the end, raw").lines
    assert list(np.asarray(line.get_ydata())) == [5.5, 5.5]
    assert "White line" in notes(latents)


def test_variants_without_an_axis_share_a_map(make: Make) -> None:
    study = make(Made(gammas=(0.5,), variants=VARIANTS, seeds=1))
    (found,) = vae_latents.at_the_end(study)
    assert found.columns == list(VARIANTS)
    assert found.values.shape == (8, 3)


def test_what_was_not_measured_is_not_drawn(make: Make) -> None:
    study = make(Made(seeds=1, pictures=False))
    assert vae_pictures.figure(study) is None
    study.__dict__["courses"] = {}
    (study.folder.path / "analysis" / "dimensions.csv").unlink()
    assert vae_latents.figure(study) is None


def test_images_stand_in_the_row_of_their_network(swept: Study, pictures: Figure) -> None:
    rows = np.array(pictures.axes).reshape(-1, 3)
    names = [row[0].texts[0].get_text() for row in rows]
    assert names == ["data", "raw, \u03b3 = 0", "raw, \u03b3 = 0.4"] + [
        f"whitened, \u03b3 = {g}" for g in (0, 0.4, 0.8)
    ]
    arrays = swept.arrays("pictures")
    key = "vae,gamma=0.4,parametrisation=whitened,seed=0"
    for axis, kind in zip(rows[4][1:], ("reconstruction", "samples"), strict=True):
        shown = [np.asarray(image.get_array()) for image in axis.images]
        assert np.stack(shown) == pytest.approx(arrays[f"{key}/{kind}"][:, 0])
    assert len(rows[0][2].images) == 0
    assert "5 of 12 trainings are drawn." in notes(pictures)


def test_images_without_bounds_have_their_own_black_and_white(make: Make) -> None:
    assert vae_pictures.limits(np.linspace(0, 1, 50)) == (0.0, 1.0)
    study = make(Made(seeds=1, gammas=(0.0,)))
    arrays = {name: 10 * values - 3 for name, values in study.arrays("pictures").items()}
    write_arrays(study.folder.path / "analysis" / "pictures.npz", arrays)
    figure = drawn(vae_pictures.figure(study))
    assert "Black \u22123, white 7." in notes(figure).replace("-3", "\u22123")
    first = np.asarray(figure.axes[1].images[0].get_array())
    assert (first.min(), first.max()) == (0, 1)


def test_trainings_are_chosen_far_apart() -> None:
    assert vae_arms.spread(range(20), 4) == [0, 6, 13, 19]
    assert vae_arms.spread([1, 2], 4) == [1, 2]
    assert vae_arms.spread([5, 6, 7], 1) == [5]


def test_a_network_is_named_by_what_differs(swept: Study, make: Make) -> None:
    lines = vae_arms.chosen(swept, 4)
    assert [vae_arms.named(swept, line) for line in lines] == [
        f"{way}, \u03b3 = {gamma}" for way in ("raw", "whitened") for gamma in ("0", "0.8")
    ]
    assert {line["seed"] for line in lines} == {"0"}
    alone = make(Made(gammas=(0.4,), seeds=1))
    assert vae_arms.named(alone, alone.networks[0]) == "the model"
