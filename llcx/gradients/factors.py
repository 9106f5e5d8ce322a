"""Square-root factors of the Gauss-Newton matrix: rows J^T F^(1/2) z with random signs z of the outputs.

    G = 1/n sum_i J_i^T F_i J_i,    F = Hessian of KL(p_w || p_w') in the outputs of w' at w' = w,    E[z z'] = 1

One vector-Jacobian product a row: sum_r row row^T over R rows, times rows / (n R), estimates G, which is the Fisher
information of an example and, at w*, the Hessian of the self target. F comes from the likelihood's `root` where it has
one, else by differentiating the divergence twice, for outputs of at most SMALL numbers a row.

Martens (2020), "New insights and perspectives on the natural gradient method", JMLR 21:146.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.func import grad, jacrev, vjp, vmap
from torch.utils._pytree import tree_map

from llcx.gradients.chains import ModuleLoss
from llcx.gradients.rows import call, chunks
from llcx.types import Batch, Chains, Flat, Index, StatModel

SMALL = 256  # outputs a row of which a Hessian is formed

Root = Callable[[Tensor, Tensor], Tensor]  # (output [R, ...], z alike) -> F^(1/2) z


def factors(loss: ModuleLoss) -> Callable[[Chains, Index], Float[Tensor, "C R P"]] | None:
    """(w [C, P], rows [C, R]) -> factor rows [C, R, P]; None where the model has no divergence or too large outputs."""
    root = root_of(loss.source.model, outputs_at(loss))
    if root is None:
        return None

    def at(w: Chains, idx: Index) -> Float[Tensor, "C R P"]:
        return torch.stack([_of_one(loss, root, row, own) for row, own in zip(w, idx, strict=True)])

    return at


def outputs_at(loss: ModuleLoss) -> Any:
    """The output of the first row at w*, [1, ...]."""
    batch, _ = loss.source.slice(slice(0, 1))
    with torch.no_grad():
        return call(loss.source.model, {}, batch)


def root_of(model: StatModel, output: Any) -> Root | None:
    """The square root of the divergence's Hessian in the outputs, from the likelihood or by differentiation."""
    if model.kl is None or not isinstance(output, Tensor):
        return None
    if model.root is not None:
        return model.root
    divergence = model.kl
    if output[0].numel() > SMALL:
        return None

    def curvature(row: Tensor) -> Tensor:
        here = row.detach()
        slope = grad(lambda out: divergence(here.unsqueeze(0), out.unsqueeze(0)).sum())
        found: Tensor = jacrev(slope)(row)  # not torch.func.hessian, whose forward mode warns of its own scripts
        return found.reshape(row.numel(), row.numel())

    def root(out: Tensor, z: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(vmap(curvature)(out))
        scaled = values.clamp(min=0).sqrt() * (vectors.mT @ z.flatten(1).unsqueeze(2)).squeeze(2)
        return (vectors @ scaled.unsqueeze(2)).squeeze(2).view_as(z)

    return root


def _of_one(loss: ModuleLoss, root: Root, w: Flat, idx: Tensor) -> Float[Tensor, "R P"]:
    """Factor rows of one chain, in chunks that fit the memory; the signs are a function of the row numbers."""
    signs = Generator().manual_seed(int(idx.sum()) % 2**63)
    many = max(1, min(loss.source.at_once(1), loss.source.memory // (4 * len(w) * w.element_size())))
    found = []
    for some in chunks(len(idx), many):
        batch, _ = loss.source.take(idx[some])
        found.append(_rows(loss, root, w, batch, signs))
    return torch.cat(found)


def _rows(loss: ModuleLoss, root: Root, w: Flat, batch: Batch, signs: Generator) -> Float[Tensor, "R P"]:
    model, layout = loss.source.model, loss.layout

    def output(values: Flat, own: Batch) -> Tensor:
        one: Tensor = call(model, layout.unflatten(values), tree_map(lambda leaf: leaf.unsqueeze(0), own))
        return one.squeeze(0)

    with torch.no_grad():
        out = call(model, layout.unflatten(w), batch)
    z = 2.0 * torch.randint(2, out.shape, generator=signs).to(out) - 1.0
    with torch.no_grad():
        weights = root(out, z)

    def pulled(own: Batch, weight: Tensor) -> Flat:
        return vjp(lambda values: output(values, own), w)[1](weight)[0]

    if loss.settled() != "seq":
        return vmap(pulled)(batch, weights).detach()
    size = len(weights)
    return torch.stack([pulled(tree_map(lambda leaf, r=r: leaf[r], batch), weights[r]).detach() for r in range(size)])
