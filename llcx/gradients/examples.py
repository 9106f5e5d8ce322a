"""The loss of single rows above w*, for all chains: what a mean over rows hides.

    examples(w, rows)[c, r] = l(w_c; row r) - l(w*; row r)        (target data)
                            = KL(p_w*(. | row r) || p_w_c(. | row r))      (target self)

in nats a row, unscaled: where a row is one example its mean over all rows is K(w_c).
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import vmap

from llcx.gradients.chains import ModuleLoss
from llcx.gradients.rows import call, chunks
from llcx.types import Batch, Chains, Flat


def examples(loss: ModuleLoss, w: Chains, idx: Int[Tensor, " R"]) -> Float[Tensor, "C R"]:
    """The excess [C, R], float64, of the rows `idx` at C chains; in chunks that fit the memory, without gradients."""
    source = loss.source
    found = torch.empty(len(w), len(idx), dtype=torch.float64, device=w.device)
    with torch.no_grad():
        for some in chunks(len(w), loss.at_once(w, 1)):
            for rows in chunks(len(idx), source.at_once(len(w[some]))):
                found[some, rows] = _of_chains(loss, w[some], *source.take(idx[rows]))
    return found


def _of_chains(loss: ModuleLoss, w: Chains, batch: Batch, reference: Any) -> Float[Tensor, "C R"]:
    def one(values: Flat, own: Batch, before: Any) -> Float[Tensor, " R"]:
        model = loss.source.model
        output = call(model, loss.layout.unflatten(values), own)
        if loss.source.target == "self":
            assert model.kl is not None  # of_model refused it
            return model.kl(before, output).double()
        return model.nll(output, own).double() - before

    if loss.together():
        return vmap(one, (0, None, None))(w, batch, reference)
    return torch.stack([one(row, batch, reference) for row in w])
