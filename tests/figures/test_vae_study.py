"""What the figures of task=vae read from a run folder, and how they call it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.figures import style, vae, vae_study
from llcx.figures.vae_study import COLOURS, Study
from tests.figures import vae_folder
from tests.figures.vae_arms import Made

Make = Callable[[Made], Study]
FEW = Made(gammas=(0.0, 0.4), seeds=2, steps=(0, 10, 100), latents=4, importance=False, pictures=False)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda made: Study(artifacts.load(vae_folder.write(tmp_path, made)))


def labels(study: Study) -> list[str]:
    return [series.label for series in study.series]


def test_series_are_named_by_what_differs(make: Make) -> None:
    assert labels(make(FEW)) == [""]
    assert labels(make(replace(FEW, ways=("raw", "whitened")))) == ["raw", "whitened"]
    both = make(replace(FEW, ways=("raw", "whitened"), latent_dims=(2, 4)))
    assert labels(both) == ["raw, D = 2", "raw, D = 4", "whitened, D = 2", "whitened, D = 4"]
    assert [len(both.of(series)) for series in both.series] == [4] * 4  # two gammas, two seeds


def test_the_kind_of_a_prior_is_said_by_its_variant(make: Make) -> None:
    study = make(replace(FEW, variants=("vae", "scalefree", "exp")))
    assert labels(study) == ["vae", "scalefree", "exp"]
    assert len({series.colour for series in study.series}) == 3


def test_a_prior_without_gamma_is_one_training_a_seed(make: Make) -> None:
    study = make(replace(FEW, variants=("vae", "scalefree", "exp")))
    assert [len(study.of(series)) for series in study.series] == [2, 4, 2]
    assert len(study.table("networks")) == 12
    assert study.gammas == [0.0, 0.4]
    assert study.swept
    assert not make(replace(FEW, gammas=(0.5,), variants=("vae", "scalefree"))).swept


def test_many_series_have_a_colour_each(make: Make) -> None:
    dims = tuple(range(1, len(COLOURS) + 2))
    study = make(replace(FEW, gammas=(0.0,), seeds=1, steps=(0, 10), latent_dims=dims))
    assert len({series.colour for series in study.series}) == len(dims)
    assert len(set(COLOURS)) == len(COLOURS)
    assert style.KNOWN not in COLOURS


def test_a_course_is_read_event_by_event_and_its_loss_step_by_step(make: Make) -> None:
    study = make(FEW)
    arm = FEW.arms[0]
    steps, values = study.curve(arm.name, "test/mse")
    assert steps.tolist() == list(FEW.steps)
    assert values == pytest.approx(arm.value("mse", FEW.steps))
    assert len(study.curve(arm.name, "loss")[0]) == FEW.steps[-1]
    assert not len(study.curve(arm.name, "test/nothing")[0])


def test_conditions_say_what_was_run(make: Make) -> None:
    told = vae_study.conditions(make(replace(FEW, ways=("raw", "whitened"))))
    for part in ("digits", "mlp of width 256", "D = 4, raw and whitened", "\u03b3 = 0 and 0.4", "2 seeds"):
        assert part in told
    assert "loss: MSE + 0.1 \u00d7 KL of a latent;" in told


def test_the_loss_has_the_unit_that_was_minimised(make: Make) -> None:
    study = make(FEW)
    study.task["loss"] = {"reduction": "elbo", "divergence": "kl", "kl_coeff": 0.1}
    assert study.titled("test/loss") == "test loss [nats an example]"
    study.task["loss"] = {"reduction": "seed", "divergence": "w2_diag", "kl_coeff": 0.5}
    assert study.titled("test/loss") == "test loss [MSE + 0.5 \u00d7 W\u2082\u00b2 of a latent]"
    assert study.titled("test/kl") == "KL(q || p) [nats an example], test rows"


def test_trainings_that_stopped_are_counted_where_they_were(make: Make) -> None:
    lost = replace(FEW, ways=("raw", "whitened"), lost=(("raw", 0.4, 1),))
    told = vae_study.stopped(make(lost))
    assert told == "Trainings that ended where their loss was not finite: 1 of 2 of raw \u03b3 = 0.4."
    assert vae_study.stopped(make(FEW)) == ""


@pytest.mark.parametrize(
    ("values", "said"), [([1.0, -2.0, 5.0], ""), ([1e-3, 2e-3, -3e-3, 5.0], ", linear within \u00b10.001"), ([], "")]
)
def test_differences_are_logarithmic_only_where_they_are_far_apart(values: list[float], said: str) -> None:
    axis = Figure().subplots()
    assert vae_study.around_zero(axis, [*values, np.nan]) == said
    assert axis.get_yscale() == ("symlog" if said else "linear")
    if said:
        low, high = axis.get_ylim()
        assert low < min(values)
        assert max(values) < high < 3 * max(values)


def test_a_run_leaves_the_pictures_it_has_numbers_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "save", lambda picture, path: path)
    own = [f"vae_{name}.png" for name in ("gamma", "curves", "targets", "stability", "variants")]
    monkeypatch.setattr(vae, "FIGURES", {name: vae.FIGURES[name] for name in own})
    alone = make(replace(FEW, gammas=(0.5,), seeds=1))
    assert [path.name for path in vae.draw(alone.folder)] == ["vae_curves.png"]
