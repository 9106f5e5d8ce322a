"""Which directions of U the loss sees, and how many the model could move in: counted at its very weights."""

from dataclasses import dataclass
from math import nan

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llcx.params import flatten, layout
from llcx.tasks.attention.form import prediction
from llcx.tasks.full_attn.loss import moments, theta
from llcx.tasks.full_attn.schema import FullAttn
from llcx.tasks.full_attn.weights import counted, key_query, trained_part
from llcx.theory import RLCT


@dataclass(frozen=True)
class Resolved:
    """The expected estimate at n*beta, up to O(1 / log^2): theory at as many directions as cost at least 1/n*beta nats.

    None where a direction is half seen, at a cost of 0.1 to 10 times 1/n*beta: the estimate is then on its way from one
    value to another, and below both for a while.
    """

    costs: tuple[float, ...]
    answers: tuple[RLCT | None, ...]  # by rank, 0..

    def answer(self, nats: float) -> RLCT | None:
        """Of the directions that cost at least so much."""
        return self.answers[sum(cost >= nats for cost in self.costs)]

    def __call__(self, nbeta: float, gamma: float) -> float | None:
        del gamma
        found = self.answer(1 / nbeta)
        if found is None or any(0.1 < nbeta * cost < 10 for cost in self.costs):
            return None
        return found.at(nbeta) if nbeta > 1 else nan


@dataclass(frozen=True)
class Equipartition:
    """The expected estimate of K = 1/2 (w - w*)^T H (w - w*), exact at every temperature."""

    curvature: Tensor  # eigenvalues of H, those that are not zero

    def __call__(self, nbeta: float, gamma: float) -> float:
        return 0.5 * float((self.curvature / (self.curvature + gamma / nbeta)).sum())


def costs(cfg: FullAttn, module: nn.Module) -> tuple[float, ...]:
    """K [nats] of removing each singular direction of U, in their order, under the law of prompts."""
    U, o = trained_part(module)
    return tuple(_k(cfg, _directions(U, module.get_parameter("W_Q").shape[1]), o).tolist())


def linear_costs(cfg: FullAttn, module: nn.Module) -> tuple[float, ...]:
    """The same of B, for the view lsa."""
    delta = _directions(key_query(module), module.get_parameter("W_Q").shape[1]).flatten(1)
    return tuple(((delta @ moments(cfg, None).second * delta).sum(1) / (2 * cfg.data.noise_std**2)).tolist())


def least_unit_cost(cfg: FullAttn, module: nn.Module) -> float:
    """The least K [nats] of a change of one entry of U by 1: how well the values o let it be seen."""
    U, o = trained_part(module)
    entries = torch.eye(U.numel()).to(U).unflatten(1, U.shape)
    return float(_k(cfg, entries, o).min())


def jacobian(cfg: FullAttn, module: nn.Module) -> Float[Tensor, "q P"]:
    """Of theta at w*."""
    at = flatten(module).double()
    return torch.func.jacrev(lambda w: theta(cfg, w.unsqueeze(0))[0])(at)


def moves(cfg: FullAttn, module: nn.Module, nats: float) -> int:
    """How many orthogonal directions of all weights have a K, to second order, of `nats` or more at unit distance.

    For `nats` -> 0 it is the rank of the Jacobian at w*, half of which bounds lambda from below.
    """
    return int((_curvature(cfg, jacobian(cfg, module)) >= 2 * nats).sum())


def alone(cfg: FullAttn, module: nn.Module, name: str) -> tuple[int, Equipartition]:
    """K as a quadratic in the one factor `name`: the rank of its map to theta, and what that gives."""
    mapped = jacobian(cfg, module)[:, layout(module).select([name])]
    curvature = _curvature(cfg, mapped)
    kept = curvature[curvature > 1e-14 * curvature.max().clamp(min=1e-300)]
    return counted(torch.linalg.svdvals(mapped), cfg.rank_tolerance), Equipartition(kept)


def _curvature(cfg: FullAttn, mapped: Float[Tensor, "q b"]) -> Tensor:
    """Eigenvalues of the Hessian of K at w* in weights that theta moves with by `mapped`."""
    second = moments(cfg, None).second / cfg.data.noise_std**2
    return torch.linalg.eigvalsh(mapped.T @ second @ mapped)


def _directions(matrix: Float[Tensor, "d p"], most: int) -> Float[Tensor, "r d p"]:
    """Its singular directions, each a matrix of rank 1; at most as many as the inner width."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return torch.einsum("ai,i,ib->iab", left, values, right)[:most]


def _k(cfg: FullAttn, change: Float[Tensor, "C d p"], o: Float[Tensor, " p"]) -> Float[Tensor, " C"]:
    """K of changes of U at the values o."""
    delta = prediction(torch.stack([_factors(each, o) for each in change]), len(o))
    return (delta @ moments(cfg, None).second * delta).sum(1) / (2 * cfg.data.noise_std**2)


def _factors(U: Float[Tensor, "d p"], o: Float[Tensor, " p"]) -> Tensor:
    """Flat (W_Q, W_K, W_V, W_O), each [p, p], that make U and o."""
    query, one = torch.nn.functional.pad(U, (0, 0, 0, 1)), torch.eye(len(o)).to(U)
    return torch.cat([query, one, torch.diag(o), torch.ones_like(one)]).flatten()
