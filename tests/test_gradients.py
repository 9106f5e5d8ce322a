"""K and its gradient on every path: backends, chunks, minibatches, stored and computed rows."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from llcx import gradients, params
from llcx.gradients import slope
from llcx.likelihoods import Categorical, Gaussian
from llcx.types import Data, Potential, Rows, StatModel

N, C = 60, 5


def model(dtype: torch.dtype = torch.float64) -> StatModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    return StatModel(net, Gaussian(0.5), Gaussian(0.5).kl)


def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    draw = [torch.randn(N, width, generator=generator, dtype=torch.float64) for width in (3, 2)]
    return draw[0], draw[1]


def potential(target: str = "data", backend: str = "vmap", memory: float = 1.0, n: int = N) -> Potential:
    return gradients.of_model(
        model(), Data(rows(), n), target=target, dtype=torch.float64, backend=backend, memory=memory
    )[0]


def near(found: Potential) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return found.at + 0.1 * torch.randn(C, len(found.at), generator=generator, dtype=torch.float64)


def by_hand(target: str, w: Tensor) -> tuple[Tensor, Tensor]:
    """One chain at a time, with plain autograd through the module itself."""
    stat, (x, y) = model(), rows()
    start, before = params.flatten(stat.module), stat.module(x).detach()
    found = []
    for row in w:
        nn.utils.vector_to_parameters(row, stat.module.parameters())
        stat.module.zero_grad()
        out = stat.module(x)
        loss = (out - (y if target == "data" else before)).square().sum() / (2 * 0.25 * N)
        loss.backward()
        grad = torch.cat([p.grad.flatten() for p in stat.module.parameters() if p.grad is not None])
        found.append((loss.detach(), grad))
    nn.utils.vector_to_parameters(start, stat.module.parameters())
    base = (before - y).square().sum() / (2 * 0.25 * N) if target == "data" else torch.tensor(0.0)
    return torch.stack([k for k, _ in found]) - base, torch.stack([g for _, g in found])


@pytest.mark.parametrize("target", ["data", "self"])
@pytest.mark.parametrize("backend", ["vmap", "seq"])
def test_k_and_gradient_are_those_of_plain_autograd(target: str, backend: str) -> None:
    found = potential(target, backend)
    k, grad = found.full(near(found))
    truth = by_hand(target, near(found))
    torch.testing.assert_close(k, truth[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(grad, truth[1], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.value(near(found)), truth[0], rtol=1e-10, atol=1e-12)


def test_k_is_zero_at_w_star_and_the_self_target_is_flat_there() -> None:
    for target in ("data", "self"):
        found = potential(target)
        k, grad = found.full(found.at.unsqueeze(0))
        assert float(k) == 0
        assert (float(grad.abs().max()) < 1e-12) == (target == "self")


def test_a_minibatch_of_all_rows_is_the_full_loss() -> None:
    found = potential()
    assert found.mini is not None
    k, grad = found.mini(near(found), torch.arange(N).expand(C, -1))
    torch.testing.assert_close((k, grad), found.full(near(found)), rtol=1e-10, atol=1e-12)


def test_minibatches_are_unbiased_and_each_chain_sees_its_own() -> None:
    found = potential()
    assert found.mini is not None
    singles = [found.mini(near(found), torch.full((C, 1), row)) for row in range(N)]
    torch.testing.assert_close(sum(k for k, _ in singles) / N, found.full(near(found))[0], rtol=1e-10, atol=1e-12)
    idx = torch.arange(C).unsqueeze(1)
    assert torch.equal(found.mini(near(found), idx)[0], torch.stack([singles[c][0][c] for c in range(C)]))


@pytest.mark.parametrize("backend", ["vmap", "seq"])
def test_cutting_chains_into_chunks_changes_no_bit(backend: str) -> None:
    found = potential(backend=backend)
    w = near(found)
    idx = torch.randint(N, (C, 7), generator=torch.Generator().manual_seed(0))
    assert found.mini is not None
    whole = found.mini(w, idx)
    parts = [found.mini(w[c : c + 2], idx[c : c + 2]) for c in range(0, C, 2)]
    assert torch.equal(whole[0], torch.cat([k for k, _ in parts]))
    assert torch.equal(whole[1], torch.cat([g for _, g in parts]))


def test_little_memory_means_more_chunks_and_the_same_loss() -> None:
    tight = potential(memory=3e-6)  # about three kilobytes
    torch.testing.assert_close(tight.full(near(tight)), potential().full(near(tight)), rtol=1e-12, atol=1e-14)


def test_n_counts_predictions_not_rows() -> None:
    found, more = potential(), potential(n=3 * N)
    torch.testing.assert_close(found.full(near(found))[0] / 3, more.full(near(found))[0])


@pytest.mark.parametrize("target", ["data", "self"])
def test_rows_made_on_demand_are_the_same_loss(target: str) -> None:
    x, y = rows()
    lazy = Data(Rows(lambda idx: (x[idx], y[idx]), N), N)
    made = gradients.of_model(model(), lazy, target=target, dtype=torch.float64)[0]
    stored = potential(target)
    torch.testing.assert_close(made.full(near(made)), stored.full(near(made)), rtol=1e-10, atol=1e-12)
    idx = torch.randint(N, (C, 4), generator=torch.Generator().manual_seed(0))
    assert made.mini is not None
    assert stored.mini is not None
    torch.testing.assert_close(made.mini(near(made), idx), stored.mini(near(made), idx), rtol=1e-10, atol=1e-12)


def test_a_closed_form_replaces_full_gradients_and_keeps_minibatches() -> None:
    stat = replace(model(), closed={"data": lambda w: w.square().sum(1)})
    found, backend, _ = gradients.of_model(stat, Data(rows(), N), dtype=torch.float64)
    assert found.exact
    assert backend == "closed"
    assert found.mini is not None
    k, grad = found.full(near(found))
    torch.testing.assert_close(k, near(found).square().sum(1))
    torch.testing.assert_close(grad, 2 * near(found))


def test_restriction_moves_only_the_chosen_parameters() -> None:
    found = potential()
    chosen = params.layout(model().module).select(["0.*"])
    part = gradients.restrict(found, chosen)
    w = found.at.repeat(C, 1)
    w[:, chosen] = near(part)
    torch.testing.assert_close(part.full(near(part))[0], found.full(w)[0])
    torch.testing.assert_close(part.full(near(part))[1], found.full(w)[1][:, chosen])


def test_large_gradients_in_float64_have_a_twin_in_float32_and_small_ones_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert potential().slope is None  # nothing to be won
    monkeypatch.setattr(slope, "WORTH", 0.0)
    found = potential("self")
    assert found.slope is not None and found.frozen is not None
    w, idx = near(found), torch.arange(N).expand(C, -1)[:, :20]
    held = found.frozen(idx)
    assert held.slope is not None
    for quick, exact in ((found.slope(w), found.full(w)[1]), (held.slope(w), held.full(w)[1])):
        assert quick.dtype == exact.dtype == torch.float64
        torch.testing.assert_close(quick, exact, rtol=1e-4, atol=1e-5)
        assert not torch.equal(quick, exact)
    positions = torch.tensor([0, 3, 4])
    some = gradients.restrict(found, positions)
    assert some.slope is not None
    torch.testing.assert_close(
        some.slope(some.at + 0.1 * torch.ones(1, 3)),
        some.full(some.at + 0.1 * torch.ones(1, 3))[1],
        rtol=1e-4,
        atol=1e-5,
    )
    single = gradients.of_model(model(torch.float32), Data(rows(), N), target="self", dtype=torch.float32)[0]
    assert single.slope is None


def test_weights_mode_and_buffers_of_the_model_stay_as_they_were() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = gradients.of_model(StatModel(net, Gaussian()), Data(tuple(t.float() for t in rows()), N))[0]
    first = found.full(found.at.repeat(2, 1) + 0.1)[0]
    assert torch.equal(first, found.full(found.at.repeat(2, 1) + 0.1)[0])  # no dropout, no drifting statistics
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_module_that_vmap_cannot_run_falls_back_to_seq() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x)
            return out if float(out.detach().sum()) > 0 else 2 * out

    torch.manual_seed(0)
    found, backend, _ = gradients.of_model(
        StatModel(Branch().double(), Gaussian()), Data(rows(), N), dtype=torch.float64
    )
    assert backend == "seq"
    assert bool(found.full(near(found))[0].isfinite().all())


def test_labels_that_are_integers_stay_integers() -> None:
    torch.manual_seed(0)
    data = Data((rows()[0], torch.arange(N) % 2), N)
    found = gradients.of_model(StatModel(nn.Linear(3, 2), Categorical()), data)[0]
    assert found.full(near(replace(found, at=found.at.double())).float())[0].dtype == torch.float64


def test_a_mean_loss_is_refused() -> None:
    stat = StatModel(nn.Linear(3, 2).double(), lambda out, batch: (out - batch[1]).square().mean())
    with pytest.raises(ValueError, match="one number an example, got a scalar"):
        gradients.of_model(stat, Data(rows(), N), dtype=torch.float64)


def test_self_without_a_kl_names_the_cure() -> None:
    with pytest.raises(ValueError, match=r"llcx\.likelihoods"):
        gradients.of_model(replace(model(), kl=None), Data(rows(), N), target="self")
