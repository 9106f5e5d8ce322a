"""Kernel machines against closed forms, a literal integrator in dual coefficients, and lazy networks."""

from collections.abc import Iterator
from functools import cache
from itertools import islice, pairwise
from math import exp, inf, log10
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from llcx import rng
from llcx.tasks.parity import course, data, duals, kernels, losses, spectra
from llcx.tasks.parity.data import Strings
from llcx.tasks.parity.duals import Linear, Machine
from llcx.tasks.parity.ensemble import Ensemble, Member, Problem
from llcx.tasks.parity.field import OfModule
from llcx.tasks.parity.flow import Flowing
from llcx.tasks.parity.kernels import Blocks, Layerwise
from llcx.tasks.parity.network import FullyConnected
from llcx.tasks.parity.schema import Fit, Flow, Loss, Network, Stop
from llcx.tasks.parity.schema import Strings as StringsConfig
from llcx.types import Event, State, Training
from tests.tasks.tangents import normals

MSE = Loss(kind="mse")


def problem(rank: int = 9, members: int = 2) -> tuple[Blocks, Strings]:
    """Kernels of 6 train and 4 test points that are linear in `rank` numbers, and labels."""
    train, test = normals(members, 6, rank) / rank**0.5, normals(members, 4, rank, seed=1) / rank**0.5
    blocks = Blocks(train @ train.mT, test @ train.mT, test @ test.mT)
    y, y_test = (normals(n, seed=n).sign() for n in (6, 4))
    return blocks, Strings(torch.zeros(6, 0), y, torch.zeros(4, 0), y_test, torch.zeros(0, dtype=torch.int64))


def fit(max_dgrad: float = 1e-3, dt0: float = 1.0, **stop: Any) -> Fit:
    ends = {"margin": None, "max_steps": 100_000} | stop
    return Fit(flow=Flow(max_dgrad=max_dgrad, max_dout=None, dt0=dt0), stop=Stop(**ends))


def trained(training: Training, after: State | None = None) -> tuple[list[Event], dict[str, State]]:
    """Its events, and every snapshot by role."""
    events = list(training.steps(training.start() if after is None else after))
    return events, {role: state for event in events for role, state in event.snapshots.items()}


def outputs(blocks: Blocks, kernel: int, w: Any) -> tuple[Tensor, Tensor]:
    """On train and test points, through the dual coefficients."""
    a = duals.features(blocks).duals[kernel] @ w
    return blocks.trtr[kernel] @ a, blocks.tetr[kernel] @ a


def closed_form(blocks: Blocks, kernel: int, y: Tensor, alpha: float, tau: float, t: float) -> tuple[Tensor, Tensor]:
    """Of mse: a' = v, tau v' = -(v + b), N b = alpha Theta a - y, by the exponential of a matrix."""
    theta, n = blocks.trtr[kernel], len(y)
    zero, one = torch.zeros_like(theta), torch.eye(n, dtype=torch.float64)
    if tau == 0:
        drift, push = -alpha / n * theta, y / n
    else:
        rows = [torch.cat(row, 1) for row in ([zero, one], [-alpha / (n * tau) * theta, -one / tau])]
        drift, push = torch.cat(rows), torch.cat([torch.zeros_like(y), y / (n * tau)])
    affine = torch.zeros(len(drift) + 1, len(drift) + 1, dtype=torch.float64)
    affine[:-1, :-1], affine[:-1, -1] = drift, push
    a = torch.linalg.matrix_exp(t * affine)[:n, -1]
    return theta @ a, blocks.tetr[kernel] @ a


@cache
def mse_ends(tau: float, max_dgrad: float) -> dict[str, State]:
    """Snapshots of two machines with kernels of their own, after t = 4."""
    machines = [Machine("one", 0, 1.0, tau), Machine("two", 1, 4.0, tau)]
    return trained(duals.flow("mse", *problem(), machines, MSE, fit(max_dgrad, max_t=4.0)))[1]


def mse_errors(tau: float, max_dgrad: float, scale: float = 1.0) -> list[float]:
    """Of their outputs, against the closed form of `scale` times their kernels."""
    blocks, labels = problem()
    other = Blocks(*(scale * block for block in blocks))
    errors = []
    for kernel, (name, alpha) in enumerate({"one": 1.0, "two": 4.0}.items()):
        end = mse_ends(tau, max_dgrad)[f"final/{name}"]
        wanted = closed_form(other, kernel, labels.y_train, alpha, tau, float(end["t"]))
        found = outputs(blocks, kernel, end["w"])
        errors += [float((one - two).norm() / two.norm()) for one, two in zip(found, wanted, strict=True)]
    return errors


@pytest.mark.parametrize("tau", [0.0, 1.5])
def test_the_flow_of_mse_has_a_closed_form_and_first_order_steps(tau: float) -> None:
    coarse, fine = mse_errors(tau, 1e-3), mse_errors(tau, 1e-5)
    assert max(fine) < 3e-3
    assert all(4 < one / two < 25 for one, two in zip(coarse, fine, strict=True))


def test_the_closed_form_rejects_a_kernel_three_percent_too_large() -> None:
    assert min(mse_errors(0.0, 1e-5, scale=1.03)) > 3e-3


def literal(theta: Tensor, y: Tensor, loss: Loss, machine: Machine, cfg: Flow) -> Iterator[tuple[float, float, Tensor]]:
    """(t, dgrad, a) after each accepted step of one machine, in dual coefficients and the norm of theta."""
    of = losses.build(loss, torch.tensor([machine.alpha]))

    def slope(a: Tensor) -> Tensor:
        return of.slope((theta @ a)[None], y[None])[0] / len(y)

    def product(b: Tensor, c: Tensor) -> float:
        return float(b @ theta @ c)

    a, v, t, dt = torch.zeros_like(y), torch.zeros_like(y), 0.0, cfg.dt0
    b = slope(a)
    while True:
        q = exp(-dt / machine.tau) if machine.tau else 0.0
        faster = q * v - (1 - q) * b
        there = a + dt * faster
        c = slope(there)
        dgrad = product(b - c, b - c) / (product(b, b) * product(c, c)) ** 0.5
        dout = machine.alpha * float((theta @ (there - a)).abs().max())
        if dgrad < (cfg.max_dgrad or inf) and dout < (cfg.max_dout or inf):
            a, v, b, t = there, faster, c, t + dt
            yield t, dgrad, a
            dt *= 1.1 if dgrad < (cfg.max_dgrad or inf) / 2 and dout < (cfg.max_dout or inf) / 2 else 1.0
        else:
            dt /= 10


@pytest.mark.parametrize("rank", [3, 9])
@pytest.mark.parametrize("kind", ["softhinge", "mse", "cross_entropy"])
def test_steps_are_those_of_dual_coefficients_in_the_norm_of_the_kernel(kind: str, rank: int) -> None:
    blocks, labels = problem(rank)
    cfg = Fit(flow=Flow(max_dgrad=1e-3, max_dout=0.05), stop=Stop(margin=None, max_steps=250))
    machine = Machine("", 1, 3.0, 0.2)
    events, kept = trained(duals.flow("dual", blocks, labels, [machine], Loss(kind=kind), cfg))
    accepted = int(events[-1].metrics["train/accepted"])
    *_, (t, dgrad, a) = islice(literal(blocks.trtr[1], labels.y_train, Loss(kind=kind), machine, cfg.flow), accepted)
    assert 0 < events[-1].metrics["train/rejected"] == 250 - accepted
    assert float(kept["final"]["t"]) == pytest.approx(t, rel=1e-12)
    assert events[-1].metrics["train/dgrad"] == pytest.approx(dgrad, rel=1e-6)
    for found, block in zip(outputs(blocks, 1, kept["final"]["w"]), (blocks.trtr[1], blocks.tetr[1]), strict=True):
        torch.testing.assert_close(found, block @ a, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rank", [3, 9])
def test_features_are_a_factor_of_the_kernel_and_of_its_rank(rank: int) -> None:
    blocks, _ = problem(rank)
    phi = duals.features(blocks)
    assert phi.train.shape == (2, 6, min(rank, 6))
    torch.testing.assert_close(phi.train @ phi.train.mT, blocks.trtr)
    torch.testing.assert_close(phi.test @ phi.train.mT, blocks.tetr)
    torch.testing.assert_close(phi.train.mT @ phi.duals, torch.eye(min(rank, 6), dtype=torch.float64).expand(2, -1, -1))


def test_kernels_of_different_rank_go_together() -> None:
    full, low = problem(9)[0], problem(2)[0]
    phi = duals.features(Blocks(*(torch.cat([one[:1], two[1:]]) for one, two in zip(full, low, strict=True))))
    assert phi.train.shape == (2, 6, 6)
    assert (phi.train[1, :, 2:] == 0).all() and (phi.test[1, :, 2:] == 0).all() and (phi.duals[1, :, 2:] == 0).all()
    torch.testing.assert_close(phi.test[1] @ phi.train[1].mT, low.tetr[1])


@pytest.mark.parametrize(("kernel", "message"), [(torch.nan, "must be finite"), (0.0, "positive eigenvalue, got 0")])
def test_what_is_no_kernel_is_refused(kernel: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        duals.features(Blocks(torch.full((1, 3, 3), kernel), torch.zeros(1, 2, 3), torch.zeros(1, 0, 0)))


def test_the_linear_field_is_that_of_a_linear_module() -> None:
    w, x, slope = normals(3, 5), normals(3, 7, 5, seed=1), normals(3, 7, seed=2)
    field = OfModule(nn.Linear(5, 1, bias=False).double())
    torch.testing.assert_close(Linear().outputs(w, x), field.outputs(w, x))
    for one, two in zip(Linear().pull(w, x, lambda f: slope * f), field.pull(w, x, lambda f: slope * f), strict=True):
        torch.testing.assert_close(one, two)


def test_one_course_serves_all_alphas() -> None:
    """Without momentum F is a function of alpha t: t1 alpha is the same, whatever alpha."""
    blocks, labels = problem(members=1)
    t1 = {}
    for alpha in (1e-3, 1.0, 1e4):
        made = duals.flow("", blocks, labels, [Machine("", 0, alpha)], Loss(), fit(dt0=1.0 / alpha, max_t=8.0 / alpha))
        t1[alpha] = alpha * float(trained(made)[1]["t1"]["t1"])
    assert t1[1e-3] == pytest.approx(t1[1.0], rel=1e-9) == pytest.approx(t1[1e4], rel=1e-9)


def test_mse_without_end_interpolates() -> None:
    blocks, labels = problem(members=1)
    _, kept = trained(duals.flow("", blocks, labels, [Machine("", 0, 2.0)], MSE, fit(aloss=1e-8, max_steps=20_000)))
    wanted = blocks.tetr[0] @ torch.linalg.solve(blocks.trtr[0], labels.y_train)
    assert kept["final"]["stopped"] == "aloss"
    torch.testing.assert_close(2.0 * outputs(blocks, 0, kept["final"]["w"])[1], wanted, rtol=0.02, atol=0.02)


def test_machines_go_on_bit_for_bit_and_together_as_alone() -> None:
    blocks, labels = problem()
    machines = [Machine("a", 0, 1.0), Machine("b", 0, 10.0), Machine("c", 1, 1.0, 0.3)]
    both = labels._replace(**{name: torch.stack([part, -part]) for name, part in labels._asdict().items()})
    made = duals.flow("many", blocks, both, machines, Loss(), fit(max_steps=60, max_t=5.0))
    events, kept = trained(made)
    again = trained(made, events[len(events) // 2].state)[1]
    assert all(
        torch.equal(torch.as_tensor(state["w"]), torch.as_tensor(kept[role]["w"])) for role, state in again.items()
    )
    for machine in machines:
        alone = trained(duals.flow("one", blocks, both, [machine], Loss(), fit(max_steps=60, max_t=5.0)))[1]
        torch.testing.assert_close(alone[f"final/{machine.name}"]["w"], kept[f"final/{machine.name}"]["w"])
        assert alone[f"final/{machine.name}"]["t"] == pytest.approx(kept[f"final/{machine.name}"]["t"])


class Lazy(NamedTuple):
    """A network beside the machine of the kernel that it starts with."""

    t1: float
    kernel_t1: float  # the machine's
    gap: float  # relative difference of their test outputs at 3 t1
    change: float  # of the network's kernel by then, relative


@cache
def lazy(alphas: tuple[float, ...], h: int, n: int, tau_over_h: float) -> dict[float, Lazy]:
    strings = data.draw(StringsConfig(d=10, k=2, n_train=n, n_test=2 * n), rng.streams(0))
    network = FullyConnected(Network(h=h), 10)
    w0 = network.initial(rng.streams(0).generator("init"))
    theta = kernels.blocks(Layerwise(network), w0[None], strings.x_train, strings.x_test)
    cfg = Fit(flow=Flow(tau_over_h=tau_over_h), stop=Stop(margin=None, max_t1=3.0, max_steps=20_000))
    machines = [Machine(f"{alpha:g}", 0, alpha, cfg.flow.tau(h, alpha)) for alpha in alphas]
    members = [Member(one.name, w0, strings, one.alpha, one.tau) for one in machines]
    made = course.training("net", lambda: Ensemble(Problem(network, Loss()), members), cfg, Flowing(cfg.flow))
    (_, ends), (_, frozen) = trained(made), trained(duals.flow("kernel", theta, strings, machines, Loss(), cfg))
    found, phi, f0 = {}, duals.features(theta), network.outputs(w0[None], strings.x_test)
    for alpha in alphas:
        one, two = (kept[f"final/{alpha:g}"] for kept in (ends, frozen))
        assert float(one["t"]) == pytest.approx(float(two["t"]), rel=1e-3 + 1 / alpha)
        w = torch.as_tensor(one["w"])[None]
        f, g = (network.outputs(w, strings.x_test) - f0)[0], phi.test[0] @ torch.as_tensor(two["w"])
        later = kernels.blocks(Layerwise(network), w, strings.x_train, strings.x_test).trtr
        gap, change = float((f - g).norm() / g.norm()), float(spectra.change(later, theta.trtr))
        found[alpha] = Lazy(float(one["t1"]), float(two["t1"]), gap, change)
    return found


LAZY = (1e2, 1e3, 1e4)


def wide() -> dict[float, Lazy]:
    """Without momentum, which would delay t1 by tau: by 3 % at alpha >= 1e3, tau_over_h = 1e-3."""
    return lazy(LAZY, h=100, n=128, tau_over_h=0.0)


@pytest.mark.slow
def test_lazy_networks_are_their_kernels_and_the_difference_falls_as_one_over_alpha() -> None:
    found = wide()
    assert found[1e4].gap < 1e-3
    assert found[1e4].t1 == pytest.approx(found[1e4].kernel_t1, rel=1e-3)
    for small, large in pairwise(LAZY):
        assert found[small].gap / found[large].gap == pytest.approx(10, rel=0.25)


@pytest.mark.slow
def test_lazy_networks_need_times_as_one_over_alpha_and_change_their_kernels_so() -> None:
    found = wide()
    for alpha in LAZY:
        assert alpha * found[alpha].t1 == pytest.approx(1e4 * found[1e4].t1, rel=0.011)
    for small, large in pairwise(LAZY):
        assert log10(found[large].change / found[small].change) == pytest.approx(-1, abs=0.1)


def test_a_network_is_not_its_kernel_where_it_learns_features() -> None:
    found = lazy((1.0, 1e4), h=20, n=32, tau_over_h=1e-3)
    assert found[1.0].gap > 0.1 > 1e-2 > found[1e4].gap
    assert found[1.0].change > 0.1 > 1e-3 > found[1e4].change
