"""K on rows gathered once, and the factor rows of the Gauss-Newton matrix."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from llcx import gradients, params
from llcx.likelihoods import Bernoulli, Categorical, Gaussian
from llcx.types import Data, Potential, Rows, StatModel

N, C = 60, 5
X = torch.randn(N, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.randn(N, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
LIKELIHOODS: dict[str, Gaussian | Categorical | Bernoulli] = {
    "gaussian": Gaussian(0.5),
    "categorical": Categorical(),
    "bernoulli": Bernoulli(),
}


def model(kind: str = "gaussian") -> StatModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    likelihood = LIKELIHOODS[kind]
    return StatModel(net, likelihood, likelihood.kl)


def potential(stat: StatModel | None = None, target: str = "self", **settings: float | str) -> Potential:
    stat = stat or model()
    labels = Y if isinstance(stat.nll, Gaussian) else Y.argmax(1) if isinstance(stat.nll, Categorical) else Y > 0
    return gradients.of_model(stat, Data((X, labels), N), target=target, dtype=torch.float64, **settings)[0]  # type: ignore[arg-type]


def near(found: Potential) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return found.at + 0.1 * torch.randn(C, len(found.at), generator=generator, dtype=torch.float64)


def subsets(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.stack([torch.randperm(N, generator=generator)[:size] for _ in range(C)])


@pytest.mark.parametrize("backend", ["vmap", "seq"])
@pytest.mark.parametrize("target", ["data", "self"])
def test_frozen_rows_are_a_minibatch_that_stays(backend: str, target: str) -> None:
    found, idx = potential(target=target, backend=backend), subsets(7)
    assert found.frozen is not None
    assert found.mini is not None
    held = found.frozen(idx)
    torch.testing.assert_close(held.full(near(found)), found.mini(near(found), idx), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(held.value(near(found)), held.full(near(found))[0], rtol=1e-12, atol=1e-14)


def test_all_rows_frozen_are_the_full_loss() -> None:
    found = potential()
    assert found.frozen is not None
    held = found.frozen(subsets(N))
    torch.testing.assert_close(held.full(near(found)), found.full(near(found)), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("memory", [3e-6, 3e-5])  # one chain in parts, several chains at once
def test_little_memory_cuts_frozen_rows_and_changes_no_number(memory: float) -> None:
    tight, idx = potential(memory=memory), subsets(40)
    whole = potential()
    assert tight.frozen is not None
    assert whole.frozen is not None
    torch.testing.assert_close(
        tight.frozen(idx).full(near(whole)), whole.frozen(idx).full(near(whole)), rtol=1e-12, atol=1e-14
    )


def test_rows_made_on_demand_are_made_once() -> None:
    asked = []

    def take(idx: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(len(idx))
        return X[idx], Y[idx]

    found = gradients.of_model(model(), Data(Rows(take, N), N), target="self", dtype=torch.float64)[0]
    stored = potential()
    assert found.frozen is not None
    assert stored.frozen is not None
    held = found.frozen(subsets(7))
    asked.clear()
    torch.testing.assert_close(held.full(near(found)), stored.frozen(subsets(7)).full(near(found)))
    assert not asked


def test_frozen_rows_refuse_another_number_of_chains() -> None:
    found = potential()
    assert found.frozen is not None
    with pytest.raises(ValueError, match="w must hold 5 chains"):
        found.frozen(subsets(7)).full(near(found)[:2])


def hessian(found: Potential) -> Tensor:
    """Of K at w*, by central differences of its gradient."""
    step = 1e-4 * torch.eye(len(found.at), dtype=torch.float64)
    rise = found.full(found.at + step)[1] - found.full(found.at - step)[1]
    return (rise + rise.T) / 4e-4


def gauss_newton(found: Potential, rows: int = 40_000) -> Tensor:
    """From factor rows at w*: every row as often as any other."""
    assert found.factors is not None
    g = found.factors(found.at.unsqueeze(0), torch.arange(rows).remainder(N).unsqueeze(0))[0]
    return g.T @ g * found.rows / found.n / rows


@pytest.mark.parametrize("kind", ["gaussian", "categorical", "bernoulli"])
def test_factor_rows_square_to_the_hessian_of_the_self_target_at_w_star(kind: str) -> None:
    found = potential(model(kind))
    truth, estimate = hessian(found), gauss_newton(found)
    assert float((estimate - truth).norm() / truth.norm()) < 0.02
    torch.testing.assert_close(estimate.trace(), truth.trace(), rtol=0.02, atol=0.0)


def test_a_likelihood_of_the_user_gets_its_factors_by_differentiation() -> None:
    def kl(before: Tensor, after: Tensor) -> Tensor:  # Poisson rates exp(output)
        return (before.exp() * (before - after) - before.exp() + after.exp()).sum(1)

    stat = replace(model(), nll=lambda out, batch: (out.exp() - batch[1].exp() * out).sum(1), kl=kl)
    found = gradients.of_model(stat, Data((X, Y), N), target="self", dtype=torch.float64)[0]
    truth = hessian(found)
    assert float((gauss_newton(found) - truth).norm() / truth.norm()) < 0.02


@pytest.mark.parametrize("kind", ["gaussian", "categorical"])
def test_a_root_that_the_likelihood_offers_gives_the_same_matrix_as_differentiation(kind: str) -> None:
    stat = model(kind)
    offered = gauss_newton(potential(replace(stat, root=stat.nll.root)))  # type: ignore[attr-defined]
    differentiated = gauss_newton(potential(stat))
    assert float((offered - differentiated).norm() / offered.norm()) < 0.02


def test_factor_rows_are_the_same_each_time_and_on_each_backend() -> None:
    idx = subsets(7)
    found = [potential(backend=backend) for backend in ("vmap", "vmap", "seq")]
    rows = [each.factors(near(each), idx) for each in found if each.factors is not None]
    assert rows[0].shape == (C, 7, len(found[0].at))
    assert torch.equal(rows[0], rows[1])
    torch.testing.assert_close(rows[0], rows[2], rtol=1e-11, atol=1e-13)


def test_a_loss_without_a_divergence_has_no_factors() -> None:
    assert potential(replace(model(), kl=None), target="data").factors is None


def test_restriction_cuts_frozen_rows_and_factors() -> None:
    found = potential()
    chosen = params.layout(model().module).select(["0.*"])
    part = gradients.restrict(found, chosen)
    w = found.at.repeat(C, 1)
    w[:, chosen] = near(part)
    assert found.frozen is not None
    assert part.frozen is not None
    k, grad = found.frozen(subsets(7)).full(w)
    torch.testing.assert_close(part.frozen(subsets(7)).full(near(part)), (k, grad[:, chosen]))
    torch.testing.assert_close(part.frozen(subsets(7)).value(near(part)), k)
    assert found.factors is not None
    assert part.factors is not None
    torch.testing.assert_close(part.factors(near(part), subsets(7)), found.factors(w, subsets(7))[..., chosen])
