"""The loops that a notebook would have: kernels example by example, networks trained one after the other.

Written to be slow in the usual way, and to give the same numbers as llcx: `benchmarks.parity` holds both side by side.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from math import exp, inf
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from llcx.tasks.parity.kernels import Blocks
from llcx.tasks.parity.network import FullyConnected
from llcx.tasks.parity.schema import Flow

BUDGET = 2e9  # bytes of Jacobians at a time
BETA = 20.0  # of the loss, softplus_beta(1 - F y)


class Chain(nn.Module):
    """One network of softplus layers, with the parameters of `FullyConnected` in the same order."""

    def __init__(self, network: FullyConnected, w: Tensor) -> None:
        super().__init__()
        self.gains, self.bias, self.beta = network.gains, network.cfg.bias, network.cfg.act_beta
        for name, value in network.named(w).items():
            self.register_parameter(name, nn.Parameter(value.clone()))

    def forward(self, x: Tensor) -> Tensor:
        named = dict(self.named_parameters())
        for layer, gain in enumerate(self.gains):
            x = x if layer == 0 else softplus(x, self.beta)
            x = x @ named[f"W{layer}"].mT * gain + self.bias * named[f"B{layer}"]
        return x.flatten()


def gradient(value: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
    return torch.cat([part.reshape(-1) for part in torch.autograd.grad(value, list(parameters))])


def gram(module: nn.Module, train: Tensor, test: Tensor) -> Blocks:
    """Kernels of one network: a backward pass an example, for each group of parameters whose Jacobian fits."""
    groups: list[list[nn.Parameter]] = [[]]
    limit = BUDGET / (8 * (len(train) + len(test)))
    for parameter in sorted(module.parameters(), key=lambda one: -one.numel()):
        if groups[-1] and sum(one.numel() for one in groups[-1]) + parameter.numel() > limit:
            groups.append([])
        groups[-1].append(parameter)
    n, k = len(train), len(test)
    found = Blocks(train.new_zeros(1, n, n), train.new_zeros(1, k, n), train.new_zeros(1, k, k))
    for group in groups:
        of_train, of_test = (torch.stack([gradient(module(x[None]), group) for x in xs]) for xs in (train, test))
        for block, one, other in zip(found, (of_train, of_test, of_test), (of_train, of_train, of_test), strict=True):
            block.add_(one @ other.mT)
    return found


class Momentum(torch.optim.Optimizer):
    """v <- q v - (1 - q) g, w <- w + dt v, q = e^{-dt/tau}; velocity and time are kept with each parameter."""

    def __init__(self, parameters: Iterable[nn.Parameter], tau: float) -> None:
        super().__init__(parameters, {"dt": 1.0, "tau": tau})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            q = exp(-group["dt"] / group["tau"])
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state |= {"t": 0.0, "velocity": torch.zeros_like(parameter)}
                state["velocity"].mul_(q).add_(parameter.grad, alpha=q - 1)
                parameter.add_(state["velocity"], alpha=group["dt"])
                state["t"] += group["dt"]


class Reached(NamedTuple):
    """Where a training stood after so many steps tried."""

    t: float
    w: Tensor


class Problem(NamedTuple):
    """What one network is trained on."""

    x: Tensor
    y: Tensor
    alpha: float
    tau: float
    cfg: Flow


def training(start: nn.Module, problem: Problem, tries: int) -> Reached:
    """Of one network: a graph for every step tried, a deep copy of all states for every step."""
    module, (x, y, alpha, tau, cfg) = copy.deepcopy(start), problem
    limits = (cfg.max_dgrad or inf, cfg.max_dout or inf)
    optimizer, t, dt = Momentum(module.parameters(), tau), 0.0, cfg.dt0
    with torch.no_grad():
        base = start(x)

    def evaluated() -> tuple[Tensor, Tensor]:
        out = module(x) - base
        loss = softplus(1 - alpha * out * y, BETA).mean() / alpha
        return out.detach(), gradient(loss, module.parameters())

    out, grad = evaluated()
    due, tried = loglinspace(0.01, 100), 0
    coming = next(due)
    for step in itertools.count():
        saved = copy.deepcopy((module.state_dict(), optimizer.state_dict(), t))
        while True:
            if tried == tries or not out.isfinite().all():
                return Reached(t, torch.cat([one.detach().reshape(-1) for one in module.parameters()]))
            move(module, optimizer, grad, dt)
            t, tried = t + dt, tried + 1
            new_out, new_grad = evaluated()
            dout = ((new_out - out) * alpha).abs().max().item()
            still = grad.norm() == 0 or new_grad.norm() == 0
            dgrad = 0.0 if still else ((grad - new_grad).norm() ** 2 / (grad.norm() * new_grad.norm())).item()
            if dgrad < limits[0] and dout < limits[1]:
                dt *= 1.1 if dgrad < limits[0] / 2 and dout < limits[1] / 2 else 1.0
                break
            dt /= 10
            module.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
            t = saved[2]
        out, grad = new_out, new_grad
        done = bool((alpha * out * y >= 1).all())  # where a notebook stops; here all have the same number of steps
        if step == coming or done:
            told(module, start, grad)
        coming = next(due) if step == coming else coming
    raise AssertionError("the loop has no other end")


def move(module: nn.Module, optimizer: torch.optim.Optimizer, grad: Tensor, dt: float) -> None:
    begun = 0
    for parameter in module.parameters():
        parameter.grad = grad[begun : begun + parameter.numel()].view_as(parameter)
        begun += parameter.numel()
    for group in optimizer.param_groups:
        group["dt"] = dt
    optimizer.step()
    for parameter in module.parameters():
        parameter.grad = None


@torch.no_grad()
def told(module: nn.Module, start: nn.Module, grad: Tensor) -> dict[str, float]:
    """What a checkpoint tells."""
    weights, first = list(module.parameters()), list(start.parameters())
    norm = sum(w.norm() ** 2 for w in weights) ** 0.5
    dnorm = sum((w - w0).norm() ** 2 for w, w0 in zip(weights, first, strict=True)) ** 0.5
    return {"norm": float(norm), "dnorm": float(dnorm), "grad_norm": grad.norm().item()}


def loglinspace(rate: float, spacing: float) -> Iterator[int]:
    step = 0
    while True:
        yield step
        step = int(step + 1 + spacing * (1 - exp(-step * rate / spacing)))
