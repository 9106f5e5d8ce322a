"""The sharing loss: what it is zero on, what random subspaces cost, where its gradient goes, when it steps aside."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx.tasks.mcl import sharing
from llcx.tasks.mcl.model_settings import Share
from llcx.tasks.mcl.sharing import Sharing
from tests.tasks.mcl_machines import built, examples, labels, normals, number, rotation, rows_in, seeded

SIZE, K = 16, 3


def built_loss(latent: int = SIZE, **settings: Any) -> Sharing:
    return Sharing(Share(**{"k": K, **settings}), latent, seeded())


def in_groups(bases: list[Tensor], rows: int = 20, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Rows of each group in its own basis, in a shuffled order, and their labels."""
    h = torch.cat([rows_in(basis, rows, 10 * i, noise) for i, basis in enumerate(bases)])
    order = torch.randperm(len(h), generator=seeded(8))
    return h[order], torch.arange(len(bases)).repeat_interleave(rows)[order]


def alike(groups: int = 4, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    return in_groups([rotation(SIZE)[:, :K] @ rotation(K, seed=i) for i in range(groups)], noise=noise)


def random(groups: int = 4, size: int = SIZE, rows: int = 20) -> tuple[Tensor, Tensor]:
    return in_groups([rotation(size, seed=100 + i)[:, :K] for i in range(groups)], rows)


@pytest.mark.parametrize("mode", ["projector", "ridge", "residual"])
def test_it_is_zero_where_groups_share_a_subspace_and_positive_where_they_do_not(mode: str) -> None:
    loss = built_loss(mode=mode, ridge=1e-6)
    same, other = loss(*alike(), report=True), loss(*random(), report=True)
    assert number(same.loss) == pytest.approx(0, abs=1e-3 if mode == "ridge" else 1e-9)
    assert same.metrics["share/norm"] == pytest.approx(0, abs=1e-9)
    assert same.metrics["share/floor"] == pytest.approx(0, abs=1e-9)
    assert number(other.loss) > 0.3 and other.metrics["share/norm"] > 0.7
    assert same.metrics["share/groups"] == other.metrics["share/groups"] == 4
    assert other.metrics["share/fallbacks"] == other.metrics["share/idle"] == 0


def test_random_subspaces_have_norm_one() -> None:
    """k (1 - k/d) (1 - 1/T) on average; the mean of many lies within its own error of 1."""
    losses = [built_loss()(*random(groups)) for groups in (2, 5, 9)]
    expected = [K * (1 - K / SIZE) * (1 - 1 / groups) for groups in (2, 5, 9)]
    for found, mean in zip(losses, expected, strict=True):
        assert number(found.loss) == pytest.approx(mean, rel=0.25)
    each = torch.stack([rotation(SIZE, seed=200 + i)[:, :K] for i in range(60)])
    assert sharing.normalised(each @ each.mT, K) == pytest.approx(1, abs=0.02)
    assert sharing.normalised((each[:1] @ each[:1].mT).expand(5, -1, -1), K) == pytest.approx(0, abs=1e-12)


def test_the_loss_by_hand() -> None:
    """Two planes of three dimensions at an angle: |P - Q|^2 = 2 sin^2, and half of that again from the mean."""
    angle = torch.tensor(0.6, dtype=torch.float64)
    first = torch.eye(3, dtype=torch.float64)[:, :2]
    second = torch.stack([first[:, 0], torch.stack([angle * 0, angle.cos(), angle.sin()])], 1)
    loss = Sharing(Share(k=2), 3, seeded())
    h, told = in_groups([first, second])
    assert number(loss(h, told).loss) == pytest.approx(float(angle.sin() ** 2) / 2)


@pytest.mark.parametrize("mode", ["projector", "ridge", "residual"])
def test_turning_all_of_h_changes_nothing(mode: str) -> None:
    loss, turn, (h, told) = built_loss(mode=mode), rotation(SIZE, seed=50), random()
    found = []
    for rotated in (h, h @ turn.T):
        x = rotated.clone().requires_grad_()
        value = loss(x, told).loss
        found.append((number(value), torch.autograd.grad(value, [x])[0]))
    assert found[0][0] == pytest.approx(found[1][0])
    torch.testing.assert_close(found[1][1], found[0][1] @ turn.T)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stop_gradient": "none"},
        {"mode": "ridge", "stop_gradient": "none"},
        {"mode": "residual"},
        {"gap": 1e-9, "min_rows": 12, "stop_gradient": "none"},
    ],
)
def test_the_gradient_is_that_of_finite_differences(settings: dict[str, Any]) -> None:
    """Of `target`, which holds the mean still, in projector mode too: there the mean's own gradient cancels."""
    loss = Sharing(Share(k=2, **settings), 5, seeded())
    h, told = in_groups([rotation(5, seed=i)[:, :3] for i in range(3)], rows=8 if "min_rows" not in settings else 13)
    h = (h + 0.1 * normals(*h.shape, seed=77)).requires_grad_()
    if settings.get("mode") == "residual":
        with torch.no_grad():
            basis = loss.subspace(h, told)
        loss.mean.copy_(basis @ basis.T)
        loss = Sharing(Share(k=2, mode="residual", refresh=10**6), 5, seeded())
        loss.mean.copy_(basis @ basis.T)
        loss.calls.fill_(1)
    assert torch.autograd.gradcheck(lambda x: loss(x, told).loss, (h,), fast_mode=True)


def test_to_hold_the_mean_still_is_no_loss_of_gradient() -> None:
    """sum_t (P_t - M) = 0, so that the gradient through M vanishes."""
    h, told = random()
    slopes = []
    for stop in ("target", "none"):
        x = h.clone().requires_grad_()
        slopes.append(torch.autograd.grad(built_loss(stop_gradient=stop)(x, told).loss, [x])[0])
    torch.testing.assert_close(slopes[0], slopes[1])
    assert slopes[0].abs().max() > 1e-3


def test_what_the_published_code_held_still_leaves_nothing_to_learn() -> None:
    h, told = random()
    found = built_loss(stop_gradient="basis")(h.requires_grad_(), told)
    assert number(found.loss) > 1 and not found.loss.requires_grad


def test_descending_it_makes_subspaces_alike() -> None:
    h, told = random(groups=4)
    h = h.requires_grad_()
    loss, optimizer, seen = built_loss(), torch.optim.Adam([h], 0.1), []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(h, told).loss
        value.backward()
        optimizer.step()
        seen.append(number(value))
    assert seen[-1] < 0.3 * seen[0]


def test_it_reaches_the_weights_of_a_machine() -> None:
    made, x = built(), examples(48)
    told = labels(x)
    out = made(x)
    loss = Sharing(Share(k=3), 10, seeded())(out.h, told.groups)
    assert loss.metrics["share/groups"] == 4 and number(loss.loss) > 0.1
    slopes = torch.autograd.grad(loss.loss, [out.h, *made.encoder.parameters()])
    assert all(bool((slope != 0).any()) for slope in slopes)


def test_the_floor_is_what_halves_of_one_group_make_of_noise() -> None:
    """Few rows: halves agree no better than random ones; many: well."""
    basis = [rotation(SIZE)[:, :K]] * 3
    loss = built_loss()
    floors = [loss.floor(*in_groups(basis, rows, noise=0.5)) for rows in (10, 40, 400)]
    assert floors[0] > floors[1] > floors[2] > 0
    assert floors[0] > 0.2 and floors[2] < 0.05
    within = loss(*in_groups(basis, 400, noise=0.5), report=True).metrics
    assert 0 < within["share/norm"] < within["share/floor"]  # an upper bound where the subspace is one
    assert loss.floor(*in_groups(basis, 2 * K + 1)) != loss.floor(*in_groups(basis, 2 * K + 1))  # nan: halves too small


def test_a_group_of_too_few_rows_is_sketched() -> None:
    h, told = alike()
    few = torch.cat([h[told != 0], h[told == 0][: 2 * K - 1]])
    of_few = torch.cat([told[told != 0], told[told == 0][: 2 * K - 1]])
    loss = built_loss()
    found = loss(few.requires_grad_(), of_few)
    assert found.metrics["share/groups"] == 4 and found.metrics["share/fallbacks"] == 1
    assert number(found.loss) == pytest.approx(0, abs=1e-9)  # its span is found all the same
    other = torch.cat([few[:-5], few[-5:] @ rotation(SIZE, seed=60)]).detach().requires_grad_()
    strange = loss(other, of_few)
    assert number(strange.loss) > 0.1
    (slope,) = torch.autograd.grad(strange.loss, [other])
    assert slope[-5:].abs().max() > 1e-6 and slope.isfinite().all()


def test_a_group_whose_kth_direction_all_but_vanishes_is_sketched() -> None:
    h, told = alike()
    flat = h.clone()
    basis = rotation(SIZE)[:, : K - 1]
    own = flat[told == 1]
    flat[told == 1] = own @ basis @ basis.T + 1e-5 * normals(*own.shape, seed=4)
    found = built_loss()(flat.requires_grad_(), told)
    assert found.metrics["share/fallbacks"] == 1 and found.metrics["share/groups"] == 4
    (slope,) = torch.autograd.grad(found.loss, [flat])
    assert slope.isfinite().all()


@pytest.mark.parametrize("case", ["constant", "of lower rank", "of k rows", "not finite"])
def test_a_group_without_k_dimensions_is_left_out(case: str) -> None:
    h, told = random(groups=3)
    own = told == 1
    if case == "constant":
        h[own] = 1e3
    elif case == "of lower rank":
        h[own] = rows_in(rotation(SIZE)[:, : K - 1], 20, 5)
    elif case == "of k rows":
        kept = ~own | (own.cumsum(0) <= K)
        h, told = h[kept], told[kept]
    else:
        h[own.nonzero()[0], 2] = float("inf")
    h = h.requires_grad_()
    found = built_loss()(h, told)
    assert found.metrics["share/groups"] == 2 and found.metrics["share/fallbacks"] == 0
    (slope,) = torch.autograd.grad(found.loss, [h])
    assert slope.isfinite().all() and slope[told != 1].any() and not slope[told == 1].any()
    others = built_loss()(h[told != 1], told[told != 1])
    assert number(found.loss) == pytest.approx(number(others.loss))


@pytest.mark.parametrize("groups", [1, 2])
def test_with_fewer_than_two_groups_it_is_zero_and_says_so(groups: int) -> None:
    """One group of many rows, or two of one row each."""
    h, told = random(groups=1) if groups == 1 else (normals(2, SIZE), torch.tensor([0, 1]))
    found = built_loss()(h.requires_grad_(), told, report=True)
    assert number(found.loss) == 0 and found.metrics["share/idle"] == 1
    assert found.metrics["share/groups"] == 2 - groups
    assert (found.loss + h.sum()).requires_grad  # a total can be differentiated all the same


def test_a_moving_average_moves_by_its_momentum_at_its_refreshes() -> None:
    loss = built_loss(target="ema", momentum=0.75, refresh=2)
    batches = [random(groups=3), in_groups([rotation(SIZE, seed=300 + i)[:, :K] for i in range(3)])]
    means = []
    for h, told in batches:
        each = [torch.linalg.eigh(torch.cov(h[told == t].T)).eigenvectors[:, -K:] for t in range(3)]
        means.append(torch.stack([u @ u.T for u in each]).mean(0))
    found = [loss(*batches[i % 2]) for i in range(2)]
    torch.testing.assert_close(loss.mean, means[0])
    loss(*batches[1])
    expected = 0.75 * means[0] + 0.25 * means[1]
    torch.testing.assert_close(loss.mean, expected)
    assert int(loss.calls) == 3
    h, told = batches[1]
    last = torch.stack([torch.linalg.eigh(torch.cov(h[told == t].T)).eigenvectors[:, -K:] for t in range(3)])
    apart = (last @ last.mT - means[0]).square().sum((1, 2)).mean()  # the second call kept the first one's target
    torch.testing.assert_close(found[1].loss, apart)


def test_the_target_of_the_batch_may_be_kept_for_some_steps() -> None:
    loss = built_loss(refresh=3)
    first, second = random(groups=3), in_groups([rotation(SIZE, seed=300 + i)[:, :K] for i in range(3)])
    loss(*first)
    kept = loss.mean.clone()
    loss(*second)
    assert torch.equal(loss.mean, kept)
    loss(*second)
    loss(*second)
    assert not torch.equal(loss.mean, kept)


def test_looking_moves_nothing() -> None:
    loss, (h, told) = built_loss(target="ema"), random()
    loss(h.requires_grad_(), told)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    with torch.no_grad():
        loss(2 * h @ rotation(SIZE), told, report=True)
    loss.eval()
    loss(2 * h @ rotation(SIZE), told)
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_it_goes_on_from_its_state() -> None:
    straight, first, second = (built_loss(target="ema", refresh=2) for _ in range(3))
    batches = [in_groups([rotation(SIZE, seed=10 * j + i)[:, :K] for i in range(3)]) for j in range(5)]
    for each in (straight, first):
        for batch in batches[:3]:
            each(*batch)
    second.load_state_dict(first.state_dict())
    for batch in batches[3:]:
        assert torch.equal(straight(*batch).loss, second(*batch).loss)
    assert torch.equal(straight.mean, second.mean) and int(second.calls) == 5


def test_the_shared_subspace_is_found() -> None:
    h, told = alike(noise=0.05)
    found = built_loss().subspace(h, told)
    basis = rotation(SIZE)[:, :K]
    torch.testing.assert_close(found.T @ found, torch.eye(K, dtype=torch.float64))
    assert float((basis.T @ found).square().sum()) == pytest.approx(K, abs=0.02)
    with pytest.raises(ValueError, match=r"labels must have groups of 6 rows or more, got none"):
        built_loss().subspace(h[:3], torch.arange(3))


def test_permuted_labels_have_nothing_in_common() -> None:
    told = torch.arange(4).repeat_interleave(30)
    mixed = sharing.shuffled(told, seeded())
    assert torch.equal(mixed.sort().values, told)
    table = torch.zeros(4, 4).index_put((told, mixed), torch.ones(120), accumulate=True)
    assert float(table.min()) > 2 and float(table.max()) < 18  # 7.5 each on average


def test_half_precision_is_raised_to_double() -> None:
    h, told = random()
    exact = number(built_loss()(h, told).loss)
    half = h.to(torch.bfloat16).requires_grad_()
    found = built_loss()(half, told).loss
    assert found.dtype == torch.float32 and number(found) == pytest.approx(exact, rel=0.05)
    (slope,) = torch.autograd.grad(found, [half])
    assert slope.dtype == torch.bfloat16 and slope.abs().max() > 0
