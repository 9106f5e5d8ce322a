"""task=vae: pairing of arms, points and their coordinates, and trainings that fail."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import gradients, rng
from llcx.fit import Fit
from llcx.params import flatten
from llcx.tasks.generic import GenericTask
from llcx.tasks.vae import task as vae
from llcx.tasks.vae.schema import VAE, Grid, Images, Loss, Measures, Model, Prior
from llcx.types import Data, Event, Point, State, StatModel

FIT = Fit("adam", 3e-3, steps=24, every=12, batch_size=16, checkpoints=[0])
SMALL = VAE(
    model=Model(width=6, latent_dim=4),
    data=Images(n_train=48, n_test=20),
    fit=FIT,
    measures=Measures(llc_rows=30),
    moments=["init", "final"],
)


def task(cfg: VAE = SMALL, **settings: Any) -> GenericTask:
    return vae.build(replace(cfg, **settings), rng.streams(0))


@cache
def events(made: GenericTask) -> dict[str, list[Event]]:
    return {each.name: list(each.steps(each.start())) for each in made.trainings()}


def left(made: GenericTask, training: str, role: str = "final") -> State:
    return next(event.snapshots[role] for event in events(made)[training] if role in event.snapshots)


def rows(data: Data) -> tuple[Tensor, Tensor]:
    """Images and noise."""
    assert isinstance(data.train, tuple)
    return data.train[0], data.train[1]


def point(made: GenericTask, name: str) -> Point:
    spec = next(each for each in made.points() if each.name == name)
    assert spec.training is not None
    return made.point(spec, left(made, spec.training, spec.role))


def test_points_are_the_moments_that_are_asked_about() -> None:
    made = task(grid=Grid(gamma=[0.0, 1.0]))
    assert [(spec.name, spec.coords, spec.role, spec.moment, spec.certain) for spec in made.points()] == [
        ("vae,gamma=0.0,init", {"prior_gamma": 0.0, "step": 0}, "init", "step", False),
        ("vae,gamma=0.0,final", {"prior_gamma": 0.0, "step": 24}, "final", "step", False),
        ("vae,gamma=1.0,init", {"prior_gamma": 1.0, "step": 0}, "init", "step", False),
        ("vae,gamma=1.0,final", {"prior_gamma": 1.0, "step": 24}, "final", "step", False),
    ]
    assert task(moments=[]).points() == ()


def test_a_moment_that_no_training_keeps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.moments must be one of init, final, got step=5"):
        replace(SMALL, moments=["step=5"])


def test_without_decay_a_training_is_the_vanilla_one_bit_for_bit_and_with_it_is_not() -> None:
    made = task(grid=Grid(variant=["vae", "scalefree", "scalefree_clamp"]))
    vanilla, *others = (left(made, f"vae,variant={name}") for name in ("vae", "scalefree", "scalefree_clamp"))
    assert all(torch.equal(other[name], vanilla[name]) for other in others for name in vanilla)  # type: ignore[arg-type]
    decaying = task(prior=Prior(gamma=0.5))
    assert not torch.equal(left(decaying, "vae")["mean.weight"], vanilla["mean.weight"])  # type: ignore[arg-type]


def test_arms_of_a_seed_have_the_same_start_rows_and_noise() -> None:
    made = task(grid=Grid(gamma=[0.0, 1.0], parametrisation=["raw", "whitened"]))
    starts = [left(made, arm, "init") for arm in made.arms]
    assert all(torch.equal(start[name], starts[0][name]) for start in starts for name in start)  # type: ignore[arg-type]
    first, *others = (point(made, spec.name) for spec in made.points() if spec.role == "final")
    for other in others:
        assert all(map(torch.equal, rows(other.data), rows(first.data)))
        assert other.wishes == first.wishes
    other_seed = task(replace(SMALL, seeds=2)).arms["vae,seed=1"]
    assert not torch.equal(rows(vae.build_data(other_seed.cfg, other_seed.streams))[1], rows(first.data)[1])


def test_a_point_is_measured_on_the_rows_that_are_asked_for_at_noise_that_stays() -> None:
    x, eps = rows(point(task(), "vae,final").data)
    assert (x.shape, eps.shape) == ((30, 1, 8, 8), (30, 4))
    assert torch.equal(eps, rows(point(task(), "vae,init").data)[1])
    whole = vae.build_data(replace(SMALL, measures=Measures()), rng.streams(0))
    assert whole.n == 48
    assert torch.equal(rows(whole)[1][:30], eps)


@pytest.mark.parametrize("parametrisation", ["raw", "whitened"])
def test_coordinates_change_neither_outputs_nor_loss_but_the_weights(parametrisation: str) -> None:
    made = task(
        model=replace(SMALL.model, parametrisation=parametrisation),
        prior=Prior(gamma=1.0),
        grid=Grid(coordinates=["standard", "own"]),
    )
    standard, own = (point(made, f"vae,final,coordinates={each}") for each in ("standard", "own"))
    batch = own.data.train
    outputs = [forward(each.model, batch) for each in (standard, own)]
    torch.testing.assert_close(*outputs, rtol=2e-5, atol=2e-5)
    losses = [each.model.nll(output, batch) for each, output in zip((standard, own), outputs, strict=True)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-4)
    assert not torch.allclose(flatten(standard.model.module), flatten(own.model.module), rtol=1e-2)


def forward(model: StatModel, batch: Any) -> Tensor:
    assert model.forward is not None
    found = model.forward(model.module, batch)
    assert isinstance(found, Tensor)
    return found.detach()


def test_k_of_a_point_is_zero_at_it_and_grows_away_from_it() -> None:
    found = point(task(), "vae,final")
    potential = gradients.of_model(found.model, found.data, target="self", dtype=torch.float64)[0]
    far = potential.at + 0.05 * torch.randn(3, len(potential.at), generator=torch.Generator().manual_seed(1)).double()
    there, grad = potential.full(potential.at.expand(2, -1).clone())
    assert there.abs().max() < 1e-12
    assert grad.abs().max() < 1e-10
    assert (potential.value(far) > 1e-3).all()


def test_a_training_that_diverges_leaves_its_course_and_no_point() -> None:
    made = task(fit=replace(FIT, optimizer="sgd", learning_rate=1e20), moments=["final"])
    found = events(made)["vae"]
    assert set(found[-1].snapshots) == {"course"}
    assert found[-1].snapshots["course"]["ended"] is False
    assert [spec.certain for spec in made.points()] == [False]
    failed = made.analyse([], lambda training, role: found[-1].snapshots.get(role)).tables["networks"]
    assert [row["ended"] for row in failed] == [False]


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": Loss(divergence="mmd"), "moments": []},
        {"loss": Loss(reduction="elbo"), "model": Model(width=6, latent_dim=4, likelihood="gaussian_learned_sigma")},
        {"model": Model(width=6, latent_dim=4, likelihood="bernoulli"), "data": Images(n_train=48, binarise="dynamic")},
        {"loss": Loss(divergence="w2_diag"), "prior": Prior(gamma=0.5)},
        {"model": Model(arch="conv", width=4, latent_dim=4), "fit": replace(FIT, batch_size=48, steps=6, every=3)},
    ],
    ids=["mmd", "sigma", "dynamic", "w2", "conv"],
)
def test_what_is_told_of_every_form(settings: dict[str, Any]) -> None:
    made = task(**settings)
    found = events(made)["vae"]
    first, last = found[0].metrics, found[-1].metrics
    assert {"test/loss", "test/mse", "test/kl", "test/active", "train/loss"} <= first.keys()
    assert ("test/nats" in first) == (made.cfg.loss.divergence != "mmd")
    assert last["train/loss"] < first["train/loss"]
    assert torch.as_tensor(found[-1].snapshots["course"]["kl"]).shape == (3, 4)


def test_dynamic_pixels_are_drawn_again_at_each_step_and_measured_once() -> None:
    cfg = replace(
        SMALL, model=replace(SMALL.model, likelihood="bernoulli"), data=Images(n_train=48, binarise="dynamic")
    )
    seen: list[Tensor] = []

    class Spy(torch.nn.Module):
        def forward(self, x: Tensor, eps: Tensor) -> Any:
            seen.append(x)
            raise StopIteration

    aim = vae.objective(cfg, rng.streams(0))
    for step in (1, 1, 2):
        with rng.seeded(torch.Generator().manual_seed(step)), pytest.raises(StopIteration):
            aim.loss(Spy(), torch.arange(8))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    x = rows(vae.build_data(cfg, rng.streams(0)))[0]
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(x, rows(vae.build_data(cfg, rng.streams(0)))[0])


def test_batch_norm_that_has_seen_nothing_normalises_by_the_rows_it_sees() -> None:
    """Running statistics of 0 and 1 would tell another loss of a network before its first step."""
    cfg = replace(SMALL, model=Model(arch="resnet18", width=2, latent_dim=4), fit=replace(FIT, steps=2, every=1))
    made = task(cfg, moments=[])
    module = vae.build_model(cfg, rng.streams(0)).module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    told = made.recipe.watch(cfg, rng.streams(0))(module)  # type: ignore[misc]
    x, eps = vae.seen(cfg, rng.streams(0)), rng.counter_normal(rng.streams(0).key("watch"), torch.arange(48), 4).float()
    with torch.no_grad():
        mse = float((module(x, eps)[0] - x).square().mean())
    assert told["train/mse"] == pytest.approx(mse, rel=1e-5)
    changed = [name for name, value in module.state_dict().items() if not torch.equal(value, before[name])]
    assert all("running" in name or "batches" in name for name in changed)  # of the line above, not of watching
