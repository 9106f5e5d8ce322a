"""Figures of task=vae about spectra: those of data and latents, and how many latents are used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.figures import vae_active, vae_spectrum
from llcx.figures.vae_arms import PALE
from llcx.figures.vae_study import Study
from tests.figures import vae_folder
from tests.figures.look import dots, notes
from tests.figures.vae_arms import Made

Make = Callable[[Made], Study]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(vae_folder.write(tmp_path, made)))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Made(ways=("raw", "whitened"), seeds=2)
    return Study(artifacts.load(vae_folder.write(tmp_path_factory.mktemp("swept"), made)))


@pytest.fixture(scope="module")
def spectra(swept: Study) -> Figure:
    return drawn(vae_spectrum.figure(swept))


@pytest.fixture(scope="module")
def active(swept: Study) -> Figure:
    return drawn(vae_active.figure(swept))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axis for axis in figure.axes if axis.get_title("left") == title]
    return found


def line(axis: Axes, colour: str) -> tuple[np.ndarray, np.ndarray]:
    """The first line of a colour."""
    found = next(line for line in axis.lines if line.get_color() == colour)
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_the_law_lies_on_the_eigenvalues_in_its_window(spectra: Figure) -> None:
    axis = panel(spectra, "eigenvalues of the training images")
    x, y = line(axis, vae_spectrum.LAW)
    assert (x[0], x[-1]) == (2, 40)
    assert y == pytest.approx(4.0 * x**-1.25)
    assert axis.texts[0].get_text() == "exponent 1.250 [1.220, 1.280]"
    assert "3 above s\u00b2 = 0.4" in notes(spectra)


def test_made_up_data_say_what_they_were_drawn_with(swept: Study) -> None:
    axis, made = Figure().subplots(), Study(swept.folder)
    made.__dict__["task"] = {"data": {"source": "powerlaw", "exponent": 1.5}}
    vae_spectrum.told(axis, made, {"exponent": "1.25"})
    assert axis.texts[0].get_text() == "exponent 1.25\ndrawn with 1.5"


def test_a_wrong_exponent_leaves_the_eigenvalues() -> None:
    axis, values = Figure().subplots(), 4.0 * np.arange(1, 65.0) ** -1.25
    vae_spectrum.fitted(axis, {"first": "2", "last": "40", "exponent": "2.0"}, values)
    x, y = line(axis, vae_spectrum.LAW)
    apart = np.log(y) - np.log(4.0 * x**-1.25)
    assert apart[0] > 0.5 and apart[-1] < -0.5
    weights = np.log((x + 0.5) / (x - 0.5))
    assert np.average(apart, weights=weights) == pytest.approx(0, abs=1e-12)


def test_latents_stand_beside_their_prior(spectra: Figure) -> None:
    x, y = line(panel(spectra, "latents, raw, \u03b3 = 0.8"), PALE)
    assert y == pytest.approx(x**-1.6)
    assert len([axis for axis in spectra.axes if axis.get_title("left").startswith("latents")]) == 4
    assert "4 of 12 trainings are drawn." in notes(spectra)


def test_exponents_are_drawn_for_every_training_beside_those_of_prior_and_data(spectra: Figure) -> None:
    axis = panel(spectra, "exponent of all of $z$, averaged over images")
    assert sorted(dots(axis)) == [(gamma, 1.1) for gamma in (0.0, 0.4, 0.8) for _ in range(4)]
    assert set(line(axis, PALE)[1]) == {1.0}
    assert set(line(axis, vae_spectrum.LAW)[1]) == {1.25}


def test_data_alone_has_a_spectrum(make: Make) -> None:
    study = make(Made(gammas=(0.0,), seeds=1))
    study.__dict__["networks"] = []
    figure = drawn(vae_spectrum.figure(study))
    assert [axis.get_title("left") for axis in figure.axes] == ["eigenvalues of the training images"]
    (study.folder.path / "analysis" / "eigenvalues.npz").unlink()
    assert vae_spectrum.figure(study) is None


def test_active_latents_of_every_seed_stand_beside_the_prediction(swept: Study, active: Figure) -> None:
    axis = panel(active, "active latents at the end")
    assert len(dots(axis)) == 12
    assert {y for _, y in dots(axis)} == {float(cells["active"]) for cells in swept.networks}
    assert set(line(axis, PALE)[1]) == {5.0}
    assert "Predicted: of the best linear VAE" in notes(active)


def test_what_latents_carry_stands_beside_what_the_best_linear_one_does(active: Figure) -> None:
    axis = panel(active, "variance over images of each latent's mean")
    x, y = line(axis, PALE)
    assert y == pytest.approx(1 - 0.4 / (4.0 * x**-1.25))
    assert len(x) == sum(4.0 * np.arange(1, 9.0) ** -1.25 > 0.4)
    measured = np.asarray(axis.lines[0].get_ydata())
    assert measured == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1e-5, 1e-5, 1e-5, 1e-5])


def test_colour_images_are_not_compared_with_grey_eigenvalues(make: Make) -> None:
    study = make(Made(seeds=1))
    study.task["data"]["source"] = "cifar10"
    axis = Figure().subplots()
    vae_active.carried(axis, study, vae_active.carriers(study))
    assert len(axis.lines) == 4  # three networks and the threshold
    assert PALE not in [each.get_color() for each in axis.lines]


def test_counts_are_followed_along_training(active: Figure) -> None:
    axis = panel(active, "active latents along training, whitened")
    shown = [np.asarray(each.get_ydata()) for each in axis.lines if each.get_color() != PALE]
    assert len(shown) == 3
    assert all(values[0] == 0 and values[-1] == 4 for values in shown)


def test_different_predictions_make_an_axis(make: Make) -> None:
    study = make(Made(gammas=(0.4,), latent_dims=(4, 8, 16), seeds=1))
    axis = Figure().subplots()
    vae_active.diagonal(axis, study)
    assert sorted(dots(axis)) == [(3.0, 2.0), (5.0, 4.0), (9.0, 8.0)]


def test_nothing_predicted_no_picture(make: Make) -> None:
    study = make(Made(seeds=1))
    study.__dict__["networks"] = [{**cells, "predicted_active": ""} for cells in study.networks]
    assert vae_active.figure(study) is None
