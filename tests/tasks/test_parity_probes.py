"""What F is made of: coefficients of known functions, the gap at a support, and neurons that carry a network."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import rng
from llcx.tasks.parity import data, neurons, probes, together
from llcx.tasks.parity.network import FullyConnected
from llcx.tasks.parity.schema import Checkpoints, Descent, Fit, Loss, Network, Parity, Stop, Strings
from tests.tasks.parity_runs import arms, events, settings, trained

D, K = 6, 3
CFG = Strings(d=D, k=K, n_train=24, n_test=40)


def strings(cfg: Strings = CFG) -> Tensor:
    """All of them, as signs."""
    return data.every(replace(cfg, encoding="pm1", bias_column=False), torch.arange(cfg.k))[0]


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_definition(f: Tensor, x: Tensor, chosen: tuple[int, ...]) -> float:
    return float((f * x[:, list(chosen)].prod(1)).mean())


def test_a_parity_has_one_coefficient() -> None:
    chi = strings()[:, [0, 2, 5]].prod(1)
    found = probes.walsh(chi)
    assert found[0b100101] == 1 and found.abs().sum() == 1


def test_coefficients_are_their_definition_and_keep_the_power() -> None:
    f, x = normals(2, 2**D), strings()
    found = probes.walsh(f)
    torch.testing.assert_close(found.square().sum(1), f.square().mean(1))
    for k in range(D + 1):
        sets = list(combinations(range(D), k))
        wanted = torch.tensor([[by_definition(one, x, s) for s in sets] for one in f], dtype=torch.float64)
        torch.testing.assert_close(found[:, probes._masks(D, k)], wanted, rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(probes.coefficients(f, x, k), wanted, rtol=1e-12, atol=1e-15)


def test_a_function_on_some_of_the_strings_is_no_function_on_all() -> None:
    with pytest.raises(ValueError, match=r"f must be given at all 2\^d strings, got 63 values"):
        probes.walsh(torch.zeros(63))


def knowing(net: FullyConnected, chosen: tuple[int, ...]) -> Tensor:
    """Weights [P] with f = chi_S of relu units without gain: it goes up and down with the sum of the chosen signs."""
    w = torch.zeros(net.parameters, dtype=torch.float64)
    named, k = net.named(w), len(chosen)
    named["W0"][: k + 1, list(chosen)] = 1 / net.gains[0]
    named["B0"][: k + 1] = k + 2 - 2 * torch.arange(k + 1).double()  # kinks at -k - 2, -k, .., k - 2
    wanted = torch.tensor([0.0, *((-1.0) ** (k - i) for i in range(k + 1))]).double()  # at -k - 2, -k, .., k
    named["W1"][0, : k + 1] = (wanted.diff() / 2).diff(prepend=torch.zeros(1).double()) / net.gains[1]
    return w


def told(chosen: tuple[int, ...], **more: Any) -> dict[str, float]:
    """Metrics of a network that knows the parity of `chosen`; the task is that of the first three bits."""
    cfg = Parity(Network(h=8, act="relu", normalise=False, subtract=False), replace(CFG, **more))
    ensemble = together.ensemble(cfg, arms((2.0,)))
    net = together.network(cfg)
    found = probes.Fourier(net, cfg.data)(ensemble, knowing(net, chosen)[None])
    return {name: value.item() for name, value in found.items()}


@pytest.mark.parametrize("d", [6, 18])
def test_a_network_that_knows_the_support_has_its_coefficient(d: int) -> None:
    found = told((0, 1, 2), d=d, n_test=40 if d == 6 else 4000)
    assert found["fourier"] == pytest.approx(2.0, abs=1e-9)
    noise = 0 if d == 6 else 2 / 4000**0.5
    assert found["fourier_other"] < 5 * noise + 1e-9
    assert found["fourier_gap"] == pytest.approx(2 - found["fourier_other"])
    assert found["gradient_gap"] > 0 and found["gradient_relevant"] > 3 * found["gradient_irrelevant"]


def test_a_network_that_knows_another_parity_has_no_gap() -> None:
    found = told((0, 1, 4))
    assert found["fourier"] == pytest.approx(0, abs=1e-9)
    assert found["fourier_gap"] == pytest.approx(-2.0) and found["gradient_gap"] <= 1e-12


def test_what_pulls_is_the_gradient_of_the_population() -> None:
    cfg = Parity(Network(h=5, bias_std=1.0), replace(CFG, bias_column=True))
    ensemble, net = together.ensemble(cfg, arms((1.0, 7.0))), together.network(cfg)
    found = probes.Fourier(net, cfg.data)(ensemble, ensemble.w0)
    w = ensemble.w0[0].clone().requires_grad_(True)
    x, y = data.every(cfg.data, torch.arange(K))
    f = _forward(net, w, x)
    rms = net.named(torch.autograd.grad((f * y).mean(), w)[0])["W0"].square().mean(0).sqrt()
    wanted = rms[:K].square().mean().sqrt(), rms[K:D].square().mean().sqrt(), rms[:K].amin() - rms[K:D].amax()
    for name, value in zip(("relevant", "irrelevant", "gap"), wanted, strict=True):
        torch.testing.assert_close(found[f"gradient_{name}"], value.expand(2))
    assert max(found["fourier"].abs().max(), found["fourier_other"].max()) < 1e-15  # f0 is subtracted


def _forward(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    named = net.named(w)
    z = net.gains[0] * x @ named["W0"].T + named["B0"]
    return (net.gains[1] * net.act.value(z) @ named["W1"].T + named["B1"]).squeeze(1)


def test_a_switch_puts_them_among_the_metrics() -> None:
    fit = Fit("sgd", descent=Descent(0.1), stop=Stop(max_steps=2), checkpoints=Checkpoints(1.0, fourier=True))
    names = {name.split("/")[1] for name in events(trained(settings(fit=fit)))[-1].metrics}
    assert {"fourier", "fourier_other", "fourier_gap", "gradient_gap", "dmax"} <= names
    bare = {name.split("/")[1] for name in events(trained(settings()))[-1].metrics}
    assert not any(name.startswith(("fourier", "gradient")) for name in bare)


def test_sets_too_many_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "SETS", 19)
    found = told((0, 1, 2))
    assert found["fourier"] == pytest.approx(2.0, abs=1e-9) and "fourier_gap" not in found


NET = Network(h=12, act="relu", normalise=False, subtract=False)


def planted() -> tuple[FullyConnected, Tensor, Tensor, Tensor]:
    """Two members: four large neurons know the parity, the others whisper; in the second they have been shuffled."""
    net, x = FullyConnected(NET, D), strings()
    w = knowing(net, (0, 1, 2))
    noise = 1e-3 * net.initial(rng.streams(0).generator("weights"))
    for part, small in zip(net.named(w).values(), net.named(noise).values(), strict=True):
        part += torch.where(part == 0, small, 0.0)
    turned, order = torch.zeros_like(w), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    for name, part in net.named(w).items():
        target = net.named(turned)[name]
        target.copy_(part if name == "B1" else part[:, order] if name == "W1" else part[order])
    return net, torch.stack([w, turned]), x, x[:, :K].prod(1).expand(2, -1)


def test_planted_neurons_are_found() -> None:
    net, w, x, y = planted()
    named, large = net.named(w), neurons.norms(net, w)
    whose = (named["W0"].mT, named["B0"], named["W1"])
    torch.testing.assert_close(large[0, 3], torch.cat([part[0].view(-1, 12)[:, 3] for part in whose]).norm())
    assert int((large[0] > 1).sum()) == 4 and torch.equal(large[0].sort().values, large[1].sort().values)
    top, rest = neurons.split(large, 4)
    assert bool((top > 100 * rest).all()) and bool((neurons.effective(large) < 4.01).all())
    found = neurons.pruned(net, w, x, y)
    assert neurons.sparsity(found).tolist() == [4, 4]
    assert bool((found.accuracy[:, 3:] == 1).all()) and bool((found.accuracy[:, 2] < 1).all())


def test_the_effective_number_of_equal_neurons_is_their_number() -> None:
    assert neurons.effective(torch.tensor([[2.0, 2, 2, 0], [5, 0, 0, 0]])).tolist() == [3, 1]


def test_all_prunings_at_once_are_subnetworks_one_by_one() -> None:
    net, x = FullyConnected(replace(NET, act="tanh", bias_std=1.0), D), strings()
    w, y = normals(3, net.parameters), normals(3, 2**D, seed=1).sign()
    found, whole = neurons.pruned(net, w, x, y), net.outputs(w, x) > 0
    for m in range(1, 13):
        says = net.outputs(neurons.subnetwork(net, w, m), x) > 0
        torch.testing.assert_close(found.agreement[:, m - 1], (says == whole).double().mean(1))
        torch.testing.assert_close(found.accuracy[:, m - 1], (says == (y > 0)).double().mean(1))
    assert torch.equal(neurons.subnetwork(net, w, 12), w)
    loose, strict = neurons.sparsity(found, 0.8), neurons.sparsity(found)
    assert bool((loose <= strict).all()) and strict.tolist() == [_first_faithful(net, one, x) for one in w]


def _first_faithful(net: FullyConnected, w: Tensor, x: Tensor) -> int:
    says = [net.outputs(neurons.subnetwork(net, w[None], m), x)[0] > 0 for m in range(1, 13)]
    return next(m for m, own in enumerate(says, 1) if torch.equal(own, says[-1]))


def test_neurons_of_deep_networks_are_not_told_apart() -> None:
    net = FullyConnected(replace(NET, layers=2), D)
    with pytest.raises(ValueError, match=r"task\.model\.layers must be 1 to tell neurons apart, got 2"):
        neurons.norms(net, normals(1, net.parameters))


@pytest.mark.slow
def test_a_network_groks_and_few_of_its_neurons_carry_it() -> None:
    """d=30, k=3, 600 strings: they are learned by heart first, the rule long after, and then by a few neurons."""
    h, d = 300, 30
    rate = 0.1 * (h * d) ** 0.5  # with alpha = sqrt(h / d): 0.1 for weights without scales of their own
    cfg = Parity(
        Network(h=h, act="relu", out_scale="ntk", subtract=False, bias=0.0, alpha=(h / d) ** 0.5),
        Strings(d=d, k=3, n_train=600, n_test=1000, bias_column=True),
        Loss("hinge"),
        Fit(
            "sgd",
            descent=Descent(rate, 32, weight_decay=0.001 / rate),
            stop=Stop(margin=None, max_steps=9000),
            checkpoints=Checkpoints(1.0, 100),
        ),
    )
    found = events(trained(cfg, [together.Arm("", cfg.model.alpha, rng.streams(0))]))
    told = {event.step: event.metrics for event in found if event.metrics}
    fitted = next(step for step, m in told.items() if m["train/err"] < 0.01)
    assert told[fitted]["test/err"] > 0.35
    learned = next(step for step, m in told.items() if m["test/err"] < 0.02)
    assert learned > 3 * fitted
    ensemble, w = together.ensemble(cfg, arms((cfg.model.alpha,))), torch.as_tensor(found[-1].state["w"])
    net, x, y = together.network(cfg), ensemble.data.x_train, ensemble.data.y_train
    few = neurons.sparsity(neurons.pruned(net, w, x, y), 0.98).item()
    assert few < 0.1 * h < 0.3 * neurons.effective(neurons.norms(net, ensemble.w0)).item()
