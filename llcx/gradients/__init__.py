"""K(w) = L(w) - L(w*) and its gradient for all chains at once: `(flat [C, P], minibatch) -> (K [C], grad [C, P])`.

A closed form is differentiated as it is; a module's loss runs over rows of data on one of four backends (chains.py).
What comes out is a types.Potential either way, and nobody further up sees the difference.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vmap

from llcx.gradients import pages as pages
from llcx.gradients.announced import repeated as repeated
from llcx.gradients.chains import ModuleLoss
from llcx.gradients.examples import examples
from llcx.gradients.factors import factors
from llcx.gradients.frozen import frozen
from llcx.gradients.rows import Source
from llcx.gradients.slope import slopes
from llcx.gradients.traces import Traces
from llcx.gradients.work import work
from llcx.params import flatten
from llcx.types import Chains, Data, Flat, Frozen, Index, PerChain, Potential, StatModel


def of_function(
    value: Callable[[Chains], PerChain],
    at: Flat,
    *,
    n: int,
    population: bool = True,
    target: str = "data",
    blocks: tuple[Tensor, ...] = (),
) -> Potential:
    """The potential of a closed form `value`: K [C] of flat parameters [C, P], differentiable.

    `blocks` [G, b] each are positions in which it is quadratic, see StatModel.blocks.
    """

    def differentiated(w: Chains, *_: object) -> tuple[PerChain, Chains]:
        with torch.enable_grad():  # callers may have turned gradients off
            w = w.detach().requires_grad_()
            k = value(w)
            (grad,) = torch.autograd.grad(k.sum(), w)
        return k.detach().double(), grad

    def energy(w: Chains) -> PerChain:
        with torch.no_grad():
            return value(w).double()

    flops, calls = work(lambda: differentiated(at.unsqueeze(0)))
    traces = Traces(differentiated, flops / calls, tells=False)

    def full(w: Chains) -> tuple[PerChain, Chains]:
        return traces(w, (), None, 1.0)

    return Potential(
        *(at, full, energy, None, n, 0),
        exact=True,
        population=population,
        target=target,
        flops=flops,
        blocks=tuple(block.to(at.device) for block in blocks),
    )


def of_scalar(potential: Callable[[Flat], Tensor], at: Flat, *, n: int) -> Potential:
    """The potential of `w [P] -> scalar`, which torch.func.vmap can run; its value at `at` is subtracted."""
    base = potential(at).detach()
    if base.dim() != 0:
        raise ValueError(f"potential must return a scalar, got shape {list(base.shape)}; sum over its terms")
    many = vmap(potential)
    return of_function(lambda w: many(w) - base, at, n=n)


def of_model(
    model: StatModel,
    data: Data,
    *,
    target: str = "data",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    backend: str = "auto",
    memory: float = 1.0,
) -> tuple[Potential, str, float]:
    """The potential of a model at its current weights, the backend in use, and L(w*) in nats (nan: rows not stored).

    Where the model has a closed form of `target`, that is what full gradients and values come from; minibatches always
    go through the module. `memory` in GiB bounds the buffers of one chunk.
    """
    if target not in ("data", "self"):
        raise ValueError(f"estimator.target must be data or self, got {target!r}")
    if data.train is None:
        return _without_rows(model, data, target, dtype, device)
    if target == "self" and model.kl is None:
        cure = "use llcx.likelihoods, or give StatModel.kl"
        raise ValueError(f"estimator.target=self needs the likelihood's KL divergence, got a loss without one; {cure}")
    module = copy.deepcopy(model.module).eval().to(device=device, dtype=dtype)
    source = Source(replace(model, module=module), data, target, int(memory * 2**30))
    loss = ModuleLoss(source, backend)
    at = flatten(module)
    population = data.mode == "population"
    if target in model.closed:
        value, blocks = model.closed[target], model.blocks
        exact = of_function(value, at, n=data.n, population=population, target=target, blocks=blocks)
        exact = replace(exact, mini=loss.mini, rows=source.rows, examples=partial(examples, loss), memory=source.memory)
        return exact, "closed", source.loss_at_minimum
    flops = _flops_of_rows(loss, at)
    quick = slopes(loss, flops)
    found = Potential(
        at,
        loss.full,
        loss.value,
        loss.mini,
        data.n,
        source.rows,
        exact=False,
        population=population,
        target=target,
        flops=flops,
        examples=partial(examples, loss),
        frozen=lambda idx: frozen(loss, idx, None if quick is None else quick.on(idx)),
        factors=factors(loss),
        slope=None if quick is None else quick.whole,
        memory=source.memory,
    )
    return found, str(loss.backend), source.loss_at_minimum


def _without_rows(
    model: StatModel, data: Data, target: str, dtype: torch.dtype, device: torch.device | str
) -> tuple[Potential, str, float]:
    """The potential of a closed form with no rows behind it."""
    if target not in model.closed:
        there = ", ".join(model.closed)
        raise ValueError(
            f"estimator.target must be one of {there}, got {target}; the loss is a closed form without rows"
        )
    at = flatten(copy.deepcopy(model.module).to(device=device, dtype=dtype))
    population = data.mode == "population"
    found = of_function(model.closed[target], at, n=data.n, population=population, target=target, blocks=model.blocks)
    return found, "closed", float("nan")


def restrict(potential: Potential, positions: Tensor) -> Potential:
    """The same potential over the parameters at `positions` [P'], the others held at w*.

    Blocks that are not sampled whole are lost.
    """
    base, positions = potential.at, positions.to(potential.at.device)

    def embed(w: Chains) -> Float[Tensor, "C Q"]:  # all Q parameters
        return base.expand(w.shape[0], -1).index_copy(1, positions, w)

    def cut(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return found[0], found[1].index_select(1, positions)

    mini, held, rows, single = potential.mini, potential.frozen, potential.factors, potential.examples

    def led(slope: Callable[[Chains], Chains] | None) -> Callable[[Chains], Chains] | None:
        return None if slope is None else lambda w: slope(embed(w)).index_select(1, positions)

    def freeze(idx: Index) -> Frozen:
        assert held is not None
        whole = held(idx)
        return Frozen(lambda w: cut(whole.full(embed(w))), lambda w: whole.value(embed(w)), led(whole.slope))

    place = torch.full((len(base),), -1, device=base.device).index_copy(
        0, positions, torch.arange(len(positions), device=base.device)
    )
    return replace(
        potential,
        at=base[positions],
        blocks=tuple(moved for block in potential.blocks if bool(((moved := place[block]) >= 0).all())),
        full=lambda w: cut(potential.full(embed(w))),
        value=lambda w: potential.value(embed(w)),
        mini=None if mini is None else lambda w, idx: cut(mini(embed(w), idx)),
        examples=None if single is None else lambda w, idx: single(embed(w), idx),
        frozen=None if held is None else freeze,
        factors=None if rows is None else lambda w, idx: rows(embed(w), idx).index_select(2, positions),
        slope=led(potential.slope),
    )


def _flops_of_rows(loss: ModuleLoss, at: Flat) -> float:
    """Of a full gradient of one chain, counted on eight rows."""
    loss.settled()  # the comparison of backends is no part of it
    some = min(loss.source.rows, 8)
    idx = torch.arange(some, device=at.device).unsqueeze(0)
    given = loss.source.take(idx)
    return work(lambda: loss.differentiated(at.unsqueeze(0), given, 0, 1.0)).flops * loss.source.rows / some
