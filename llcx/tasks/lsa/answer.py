"""The answer key of linear self-attention: both theories, and which of them K obeys.

K is a positive definite quadratic form of B - B*, whatever the covariance of x and the reduction: up to bounded factors
|W_Q W_K^T - B*|^2, the loss of a two-layer linear network of widths [d+1, d_l, d+1]. Hence

    lambda_full = dln([d+1, d_l, d+1], rank B),    not lambda_matrix = dln([d, d_l, d], rank M),

which would be right if K saw M alone; local is global, as w* is balanced. The scalar output x_q^T M x_q sees sym(M)
alone. Where the columns of W_Q[:d] and W_K[:d] span R^d, (W_Q, W_K) -> sym(M) is a submersion, and the d (d+1) / 2
numbers of sym(M) are as many squares; elsewhere nothing is known. Nor is it for so few prompts that the form is none.
"""

from torch import nn

from llcx import theory
from llcx.tasks.generic import AtTemperature
from llcx.tasks.lsa import problems
from llcx.tasks.lsa.schema import LSA, Model
from llcx.theory import RLCT
from llcx.types import Known, Streams

FULL = (
    "K is a positive definite form of W_Q W_K^T - B*: Aoyagi (2024), Neural Networks 172, Theorem 1, at [d+1, d_l, d+1]"
)
SCALAR = "regular: half the dimension of the symmetric d x d matrices"
FROZEN = "regular: K is a quadratic form of the sampled factor"


def known(cfg: LSA, streams: Streams, module: nn.Module) -> Known:
    """By the ranks that w* was constructed with."""
    del streams, module
    model, full = cfg.model, lambda_full(cfg.model)
    extra = {"lambda_full": float(full.lam)}
    if model.w_star == "alpha":
        extra = {"lambda_matrix": float(lambda_matrix(model).lam)} | extra
    if not definite(cfg):
        return Known(extra=extra)
    if model.output == "matrix":
        lam = float(full.lam)
        return Known(lam, full.mult, lam, AtTemperature(full), FULL, extra)
    of_q, of_k, of_m = spanned(model)
    if min(model.d, of_q + of_k) < model.d:
        return Known(extra=extra)
    here = theory.regular(model.d * (model.d + 1) // 2)
    lam = float(here.lam)
    everywhere = 2 * of_m >= model.d  # sym(M*) has full rank: so have W_Q[:d] and W_K[:d] together, on the whole fibre
    return Known(lam if everywhere else None, here.mult, lam, AtTemperature(here), SCALAR, extra)


def restricted(cfg: LSA, streams: Streams, module: nn.Module, names: frozenset[str]) -> Known:
    """With W_K frozen K is a quadratic form of W_Q, as W_Q -> B is linear, and of its rank; and conversely."""
    if len(names) == 2:
        return known(cfg, streams, module)
    if not definite(cfg):
        return Known()
    model, ranks = cfg.model, problems.ranks(cfg.model)
    of_q, of_k, _ = spanned(model)
    frozen = of_k if names == {"W_Q"} else of_q
    lost = model.d - frozen
    of_symmetric = (model.d * (model.d + 1) - lost * (lost + 1)) // 2
    here = theory.regular((model.d + 1) * ranks.of_b if model.output == "matrix" else of_symmetric)
    lam = float(here.lam)
    return Known(lam, here.mult, lam, AtTemperature(here), FROZEN)


def definite(cfg: LSA) -> bool:
    """Whether K is positive definite in what the output sees of B: with probability one, by counting equations."""
    d, n = cfg.model.d, cfg.data.n or 0
    if cfg.data.mode == "population":
        return True
    return n >= d * (d + 1) // 2 if cfg.model.output == "scalar" else cfg.data.context >= d or n >= (d + 1) ** 2


def lambda_full(model: Model) -> RLCT:
    """Of the whole matrix B."""
    return theory.dln([model.d + 1, model.d_l, model.d + 1], problems.ranks(model).of_b)


def lambda_matrix(model: Model) -> RLCT:
    """Of its block M alone."""
    return theory.dln([model.d, model.d_l, model.d], problems.ranks(model).of_m)


def spanned(model: Model) -> tuple[int, int, int]:
    """Ranks of W_Q[:d], W_K[:d] and M: the columns of B's first d rows, the rows of its first d columns, and both."""
    of_m, of_b = problems.ranks(model)
    if model.w_star == "simple":
        return of_m, of_m, of_m
    return of_m + (of_b - of_m >= 1), of_m + (of_b - of_m == 2), of_m
