"""Sparse autoencoders: which units are on, what is lost, how lambda is steered, and what reaches h."""

from itertools import pairwise
from math import log
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.mcl.autoencoder import Codes, SparseAutoencoder
from llcx.tasks.mcl.model_settings import CODES, Sae
from tests.tasks.mcl_machines import normals, number, rotation, seeded


def built(kind: str = "l1", latent: int = 10, seed: int = 0, **settings: Any) -> SparseAutoencoder:
    cfg = Sae(**{"kind": kind, "units": 20, "k": 4, **settings})
    with rng.seeded(seeded(seed)):
        return SparseAutoencoder(cfg, latent).double()


def trained(made: SparseAutoencoder, h: Tensor, steps: int, rate: float = 1e-2) -> list[float]:
    """Shares of units on, at every step."""
    optimizer, seen = torch.optim.Adam(made.parameters(), rate), []
    for step in range(steps):
        batch = h[(step * 32) % len(h) :][:32]
        codes = made(batch)
        optimizer.zero_grad()
        made.loss(codes).backward()
        optimizer.step()
        made.observe(codes)
        seen.append(float((codes.z > 0).double().mean()))
    return seen


@pytest.mark.parametrize("kind", CODES)
def test_a_code_decodes_to_rows_of_norm_one(kind: str) -> None:
    made, h = built(kind), normals(7, 10)
    codes = made(h)
    assert codes.z.shape == (7, 20) and (codes.z >= 0).all() and (codes.z > 0).any()
    torch.testing.assert_close(made.directions().norm(dim=1), torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(codes.hhat, codes.z @ made.directions() + made.decoder_bias)
    before = (h - made.decoder_bias) @ made.encoder.T + made.encoder_bias
    on = codes.z > 0
    torch.testing.assert_close(codes.z[on], before[on])
    with torch.no_grad():
        made.decoder.mul_(7)  # no length of a row is a length of h'
    torch.testing.assert_close(made(h).hhat, codes.hhat)


def test_how_many_units_are_on() -> None:
    h = normals(50, 10)
    counts = {kind: (built(kind)(h).z > 0).sum(1) for kind in CODES}
    assert (counts["topk"] == 4).all()
    assert counts["batchtopk"].sum() == 4 * 50 and len(counts["batchtopk"].unique()) > 1
    assert torch.equal(counts["l1"], counts["relu"]) and counts["relu"].double().mean() > 8
    made = built("jumprelu", threshold=0.7)
    assert (made(h).z[made(h).z > 0] > 0.7).all() and counts["jumprelu"].sum() < counts["relu"].sum()


def test_topk_keeps_the_largest_positive_ones() -> None:
    made = built("topk", latent=20)
    with torch.no_grad():
        made.encoder.copy_(torch.eye(20))
    h = torch.zeros(1, 20, dtype=torch.float64)
    h[0, :6] = torch.tensor([5.0, -9.0, 3.0, 4.0, 1.0, 2.0])
    assert made(h).z.nonzero()[:, 1].tolist() == [0, 2, 3, 5]
    h[0, 2:4] = -1
    assert made(h).z.nonzero()[:, 1].tolist() == [0, 4, 5]  # a negative one is never on


def test_batchtopk_is_of_the_batch_in_training_and_of_a_threshold_after() -> None:
    made, h = built("batchtopk"), normals(64, 10)
    for _ in range(3):
        made.observe(made(h))
    alone = made(h[:1]).z
    assert not torch.equal(alone, made(h).z[:1])  # in training examples meet
    made.eval()
    torch.testing.assert_close(made(h[:1]).z, made(h).z[:1])
    assert float((made(h).z > 0).double().sum(1).mean()) == pytest.approx(4, abs=0.1)


def test_the_loss_is_what_is_not_explained_plus_lambda_per_unit() -> None:
    made, h = built(coefficient=0.03, warmup=1), normals(6, 10)
    codes = made(h)
    error = (h - codes.hhat).square().sum(1).mean()
    variance = (h - h.mean(0)).square().sum(1).mean()
    fvu, penalty = number(error / variance), 0.03 * number(codes.z.sum(1).mean())
    for sparsity, expected in ((1.0, fvu + penalty), (2.0, fvu + 2 * penalty), (0.0, fvu)):
        assert number(made.loss(codes, sparsity)) == pytest.approx(expected)
    assert made.metrics(codes)["sae/fvu"] == pytest.approx(fvu)
    mean = Codes(h, codes.before, codes.z, h.mean(0).expand_as(h))
    assert made.metrics(mean)["sae/fvu"] == pytest.approx(1)


def test_to_shrink_h_makes_nothing_better() -> None:
    """The error is in units of the variance, so its gradient has no component along h and h' together."""
    made = built("relu")
    h = normals(6, 10) - normals(6, 10).mean(0)
    codes = made(h)
    for factor in (0.1, 3.0):
        scaled = Codes(factor * h, codes.before, codes.z, factor * codes.hhat)
        torch.testing.assert_close(made.loss(scaled), made.loss(codes))
    x = h.clone().requires_grad_()
    loss = made.loss(Codes(x, codes.before, codes.z, codes.hhat.detach() / h.norm() * x.norm()))
    (slope,) = torch.autograd.grad(loss, [x])
    assert float((slope * h).sum()) == pytest.approx(0, abs=1e-9)


def test_lambda_comes_in_and_is_then_steered_by_the_rate_seen() -> None:
    made, h = built(coefficient=0.01, warmup=4, gain=0.5, rate=0.25), normals(8, 10)
    codes, seen = made(h), []
    rate = float((codes.z > 0).double().mean())
    for _ in range(7):
        seen.append(float(made.coefficient))
        made.observe(codes)
    assert seen[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert seen[4] == pytest.approx(0.01)
    assert [log(b / a) for a, b in pairwise(seen[4:])] == pytest.approx([0.5 * (rate - 0.25)] * 2)
    kept = built(coefficient=0.01, warmup=1, gain=1e4, rate=1e-3, most=0.02)
    for _ in range(3):
        kept.observe(codes)
    assert float(kept.coefficient) == pytest.approx(0.02)


def features(rows: int, seed: int) -> Tensor:
    """Sparse combinations of 20 directions in 10 dimensions, with some noise."""
    on = torch.rand(rows, 20, generator=seeded(seed), dtype=torch.float64) < 0.08
    return (on * normals(rows, 20, seed=seed).abs()) @ rotation(20)[:, :10] + 0.02 * normals(rows, 10, seed=seed + 1)


@pytest.mark.parametrize(
    ("kind", "target", "steps"),
    [
        ("l1", 0.1, 280),
        pytest.param("l1", 0.05, 1200, marks=pytest.mark.slow),
        pytest.param("l1", 0.2, 800, marks=pytest.mark.slow),
        pytest.param("jumprelu", 0.1, 1200, marks=pytest.mark.slow),
    ],
)
def test_the_rate_comes_to_its_target(kind: str, target: float, steps: int) -> None:
    made = built(kind, rate=target, gain=0.2, warmup=20, threshold=0.03)
    seen = trained(made, features(512, 5), steps)
    assert abs(seen[0] - target) > 0.1
    assert fmean(seen[-100:]) == pytest.approx(target, abs=0.015)


def test_without_sparsity_nothing_steers_the_rate() -> None:
    seen = trained(built("relu", rate=0.05, gain=0.5, warmup=20), features(512, 5), 150)
    assert min(seen[-50:]) > 0.2


@pytest.mark.parametrize("kind", CODES)
def test_the_gradient_reaches_h_or_does_not(kind: str) -> None:
    for gradient, reached in (("joint", True), ("probe", False)):
        made, h = built(kind, gradient=gradient), normals(6, 10).requires_grad_()
        (slope,) = torch.autograd.grad(made.loss(made(h)), [h], allow_unused=True)
        assert (slope is not None and bool((slope != 0).any())) == reached


def test_jumprelus_threshold_has_the_gradient_of_a_step_of_some_width() -> None:
    """-(t / width) where the activation is within width / 2 of the threshold t, and for the number on -1 / width."""
    made = built("jumprelu", latent=20, threshold=0.5, bandwidth=0.2, coefficient=0.25, warmup=1)
    with torch.no_grad():
        made.encoder.copy_(torch.eye(20))
    h = torch.zeros(1, 20, dtype=torch.float64)
    h[0, :4] = torch.tensor([0.45, 0.55, 0.39, 0.61])
    codes = made(h)
    assert codes.z[0, :4].tolist() == pytest.approx([0, 0.55, 0, 0.61])
    (slope,) = torch.autograd.grad(codes.z.sum(), [made.log_threshold], retain_graph=True)
    assert slope[:4].tolist() == pytest.approx([-0.5 * 0.5 / 0.2, -0.5 * 0.5 / 0.2, 0, 0])
    codes = codes._replace(hhat=codes.hhat.detach())
    (slope,) = torch.autograd.grad(made.loss(codes), [made.log_threshold])
    assert slope[:4].tolist() == pytest.approx([-0.25 * 0.5 / 0.2, -0.25 * 0.5 / 0.2, 0, 0])


def test_dead_units_are_those_long_unseen_and_the_auxiliary_loss_is_theirs_alone() -> None:
    made, h = built("topk", dead_after=3, auxiliary=5, auxiliary_weight=1.0), normals(6, 10)
    with torch.no_grad():
        made.encoder_bias[:8] = -2
    codes = made(h)
    without = made.loss(codes)
    for _ in range(3):
        assert not made.dead().any() and torch.equal(made.loss(codes), without)
        made.observe(codes)
    dead = made.dead()
    assert torch.equal(dead, ~(codes.z > 0).any(0)) and 3 <= dead.sum() < 15
    auxiliary = made.loss(codes) - without
    assert number(auxiliary) > 0
    (slope,) = torch.autograd.grad(auxiliary, [made.encoder_bias])
    assert slope[dead].any() and not slope[~dead].any()
    revived = codes._replace(z=torch.ones_like(codes.z))
    made.observe(revived)
    assert not made.dead().any() and made.metrics(codes)["sae/dead"] == 0


@pytest.mark.parametrize("kind", ["l1", "batchtopk"])
def test_it_goes_on_from_its_state(kind: str) -> None:
    h = features(128, 5)
    straight, first, second = (built(kind, warmup=3) for _ in range(3))
    for each in (straight, first):
        trained(each, h, 5)
    second.load_state_dict(first.state_dict())
    ends = [trained(each, h, 6)[-1] for each in (straight, second)]
    assert ends[0] == ends[1]
    for name, value in straight.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert int(straight.steps) == 11


def test_settings_that_make_no_sense_are_refused() -> None:
    wrong: dict[str, Any] = {"kind": "vq", "rate": 1.0, "k": 300, "coefficient": 100.0, "gradient": "no", "units": 0}
    for key, value in wrong.items():
        with pytest.raises(ValueError, match=rf"task.sae.({key}|k) must be"):
            Sae(**{key: value})
