"""The answer key of full attention: how many directions of U the loss sees, and what theory says of them.

The prediction is linear in theta_a = sym(u_a o^T), a = 1..d, with u_a the rows of U = W_Q[:d] W_K^T and o = W_V W_O[d],
and its features x_a S_bc are linearly independent: up to bounded factors K = sum_a |sym(u_a o^T) - theta*_a|^2. Where
o* != 0 and not all u*_a are parallel to it, (U, o) -> theta is an immersion but for the one common scale, and

    lambda_FA = lambda_DLN([d+1, d_l, d], rank U*) + (d+1)/2 - 1/2,    m of the same,

the last two terms for o and for the scale. At U* = 0 or o* = 0 K is |U|^2 |o|^2 up to bounded factors: the smaller of
lambda_DLN([d+1, d_l, d], 0) and lambda_DLN([1, d_l, d+1], 0), and where they are equal the sum of their m.

lambda_B is that of the linear attention X B X^T, B = W_Q W_K^T: lambda_DLN([d+1, d_l, d+1], rank B).

A direction of U counts where removing it costs at least 1/n*beta nats: what chains at n*beta can see (`known_at`). The
values without a temperature count at 1e-4 nats.
"""

from dataclasses import replace

import torch
from torch import nn

from llcx import theory
from llcx.params import layout
from llcx.tasks.full_attn.directions import Resolved, alone, costs, least_unit_cost, linear_costs, moves
from llcx.tasks.full_attn.schema import FullAttn
from llcx.tasks.full_attn.weights import counted, key_query, shape
from llcx.theory import RLCT
from llcx.types import Known, Streams

SEEN = 1e-4  # nats
FULL = "K is equivalent to sum_a |sym(u_a o^T) - theta*_a|^2: Aoyagi (2024), Neural Networks 172, at [d+1, d_l, d]"
LINEAR = "K is a positive definite form of W_Q W_K^T - B*: Aoyagi (2024), Neural Networks 172, at [d+1, d_l, d+1]"
REGULAR = "K is a quadratic in the factor: half the rank of its map"


def known(cfg: FullAttn, streams: Streams, module: nn.Module) -> Known:
    """By the ranks at these weights."""
    del streams
    of_b = lambda_b(cfg, rank_b(cfg, module))
    extra = {"lambda_B": float(of_b.lam)}
    if cfg.view == "lsa":
        seen = linear_costs(cfg, module)
        at = Resolved(seen, tuple(lambda_b(cfg, rank) for rank in range(len(seen) + 1)))
        return Known(float(of_b.lam), of_b.mult, float(of_b.lam), at, LINEAR, extra)
    found = _known(cfg, Resolved(costs(cfg, module), tuple(lambda_fa(cfg, rank) for rank in range(_most(cfg) + 1))))
    return replace(
        found, extra=extra | {"lambda_FA": found.lam or 0.0, "lambda_jacobian": moves(cfg, module, SEEN) / 2}
    )


def restricted(cfg: FullAttn, streams: Streams, module: nn.Module, names: frozenset[str]) -> Known:
    """Where only the factors `names` are sampled: one alone leaves a quadratic, W_Q and W_K together lambda_DLN."""
    if names == set(layout(module).names):
        return known(cfg, streams, module)
    if len(names) == 1:
        numbers, at = alone(cfg, module, *names)
        lam = numbers / 2
        return Known(lam, 1, lam, None if cfg.view == "data" else at, REGULAR)
    values_seen = least_unit_cost(cfg, module) >= 100 * SEEN
    unlearned = lambda_u(cfg, 0) if names == {"W_Q", "W_K"} and values_seen else None
    learned = [_parts(cfg, module, names, rank) for rank in range(1, _most(cfg) + 1)]
    return _known(cfg, Resolved(costs(cfg, module), (unlearned, *learned)))


def lambda_fa(cfg: FullAttn, rank: int) -> RLCT:
    """Of the model itself, U* having `rank`."""
    p, d_l = shape(cfg)
    of_u = lambda_u(cfg, rank)
    if rank > 0:
        return theory.disjoint_sum(of_u, theory.regular(p - 1))
    of_o = theory.dln([1, d_l, p], 0)
    return RLCT(of_u.lam, of_u.mult + of_o.mult) if of_u.lam == of_o.lam else min(of_u, of_o)


def lambda_u(cfg: FullAttn, rank: int) -> RLCT:
    """Of W_Q and W_K alone, the values frozen at o* != 0."""
    p, d_l = shape(cfg)
    return theory.dln([p, d_l, p - 1], rank)


def lambda_b(cfg: FullAttn, rank: int) -> RLCT:
    """Of linear attention, B* having `rank`."""
    p, d_l = shape(cfg)
    return theory.dln([p, d_l, p], rank)


def rank_b(cfg: FullAttn, module: nn.Module) -> int:
    """The singular values of B from the task's tolerance of the largest on, at most d_l."""
    return min(counted(torch.linalg.svdvals(key_query(module)), cfg.rank_tolerance), shape(cfg)[1])


def _parts(cfg: FullAttn, module: nn.Module, names: frozenset[str], rank: int) -> RLCT:
    """Two or three factors at a U* of `rank` >= 1: what is left of U and of o, less the scale where it is shared."""
    of_u, of_o = names & {"W_Q", "W_K"}, names & {"W_V", "W_O"}
    inner = lambda_u(cfg, rank) if len(of_u) == 2 else theory.regular(_reached(cfg, module, of_u))
    both = theory.disjoint_sum(inner, theory.regular(_reached(cfg, module, of_o)))
    return RLCT(both.lam - theory.regular(1).lam, both.mult) if of_u and of_o else both


def _reached(cfg: FullAttn, module: nn.Module, names: frozenset[str]) -> int:
    """How many numbers of U, or of o, the factor or factors `names` move: the rank of a factor's linear map."""
    p, _ = shape(cfg)
    if not names:
        return 0
    if "W_V" in names:
        return p
    (name,) = names
    times, other = {"W_Q": (p - 1, "W_K"), "W_K": (p, "W_Q"), "W_O": (1, "W_V")}[name]
    factor = module.get_parameter(other).detach().double()
    return times * counted(torch.linalg.svdvals(factor[:-1] if other == "W_Q" else factor), cfg.rank_tolerance)


def _known(cfg: FullAttn, found: Resolved) -> Known:
    rlct = found.answer(SEEN)
    if rlct is None:
        return Known()
    lam = float(rlct.lam)
    return Known(lam, rlct.mult, lam if cfg.model.w_star == "icl" else None, found, FULL)


def _most(cfg: FullAttn) -> int:
    p, d_l = shape(cfg)
    return min(p - 1, d_l)
