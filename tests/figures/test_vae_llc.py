"""vae_llc.png: the learning coefficient of VAEs against gamma, along training and beside the loss."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.figures import vae, vae_active, vae_latents, vae_llc, vae_pictures, vae_spectrum
from llcx.figures.vae_study import Study
from tests.figures import vae_folder
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.run_folder import table
from tests.figures.vae_arms import Made

Make = Callable[[Made], Study]
MINE = (vae_latents, vae_spectrum, vae_active, vae_pictures, vae_llc)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(vae_folder.write(tmp_path, made)))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Made(gammas=(0.0, 0.4, 0.8), ways=("raw", "whitened"), seeds=2, measured=True, latents=16)
    return Study(artifacts.load(vae_folder.write(tmp_path_factory.mktemp("swept"), made)))


@pytest.fixture(scope="module")
def llc(swept: Study) -> Figure:
    return drawn(vae_llc.figure(swept))


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def titles(figure: Figure) -> list[str]:
    return [axis.get_title("left") for axis in figure.axes]


def test_a_column_a_series(llc: Figure) -> None:
    kinds = ("against \u03b3", "along training", "beside the test loss")
    assert titles(llc) == [f"{kind}, {way}" for kind in kinds for way in ("raw", "whitened")]
    legend = [text.get_text() for text in llc.legends[0].texts]
    assert legend == [
        "before training",
        "epoch 5",
        "at the end",
        *(f"\u03b3 = {g}" for g in ("0", "0.4", "0.8")),
        "flagged",
    ]


def test_lines_against_gamma_go_through_the_means_over_seeds(llc: Figure) -> None:
    axis = llc.axes[1]
    for line, factor in zip(axis.lines, (1, 2, 3), strict=True):
        assert np.asarray(line.get_ydata()) == pytest.approx([10.0 * factor * (1 + g) for g in (0, 0.4, 0.8)])
    assert len(dots(axis)) == 18
    assert hollow(axis) == 6  # before training, all flagged
    assert "Flagged: auto 12 of 36 (drift 12)" in notes(llc)


def test_moments_are_placed_in_time(llc: Figure) -> None:
    times = {x for x, _ in dots(llc.axes[2])}
    assert times == {0.0, 5.0, 10.0}


def test_losses_are_those_of_the_moment(swept: Study, llc: Figure) -> None:
    training = "vae,gamma=0.4,parametrisation=raw,seed=1"
    steps, losses = swept.curve(training, "test/loss")
    expected = [float(np.interp(at, steps, losses)) for at in (0, 500, 1000)]  # ten epochs are a thousand steps
    shown = dots(llc.axes[4])
    for loss, llc_ in zip(expected, (14.0, 28.0, 42.0), strict=True):
        assert any((x, y) == pytest.approx((loss, llc_)) for x, y in shown)


def test_the_prior_is_not_the_localisation(llc: Figure) -> None:
    assert "Target self, n\u03b2 169, localisation 1" in notes(llc)


def test_coordinates_stand_apart(make: Make) -> None:
    study = make(Made(gammas=(0.0, 0.8), seeds=1, measured=True))
    rows = [{**row, "at.coordinates": space, "llc": str(float(row["llc"]) * factor)}
            for row in study.folder.rows for space, factor in (("standard", 1), ("own", 7))]  # fmt: skip
    for row in rows:
        row["point"] += f",coordinates={row['at.coordinates']}"
    table(study.folder.path / "metrics_summary.csv", tuple(rows[0]), rows)
    figure = drawn(vae_llc.figure(Study(study.folder)))
    assert titles(figure)[:2] == [f"against \u03b3, {space} coordinates" for space in ("standard", "own")]
    assert max(y for _, y in dots(figure.axes[1])) == pytest.approx(7 * 54.0)
    assert figure.axes[0].get_ylim() != figure.axes[1].get_ylim()


def test_one_model_is_followed_along_its_training(make: Make) -> None:
    figure = drawn(vae_llc.figure(make(Made(gammas=(0.4,), seeds=1, measured=True))))
    assert titles(figure) == ["along training", "beside the test loss"]


def test_variants_have_a_place_each(make: Make) -> None:
    study = make(Made(gammas=(0.5,), variants=("vae", "exp"), seeds=1, measured=True))
    axis = Figure().subplots()
    vae_llc.by_series(axis, study, vae_llc.Group("", vae_llc.measured(study)))
    assert [label.get_text() for label in axis.get_xticklabels()] == ["vae", "exp"]
    assert {round(x) for x, _ in dots(axis)} == {0, 1}


def test_no_number_no_picture(make: Make) -> None:
    assert vae_llc.figure(make(Made(seeds=1))) is None


def test_a_run_leaves_these_pictures(swept: Study) -> None:
    assert {module.figure for module in MINE} <= set(vae.FIGURES.values())


@pytest.mark.slow
@pytest.mark.parametrize("module", [vae_spectrum, vae_active, vae_llc])
def test_nothing_overlaps(swept: Study, module: type) -> None:
    assert apart(drawn(module.figure(swept)))  # type: ignore[attr-defined]
