"""Which neurons of one hidden layer carry a network: their norms, and how few of them say the same.

A neuron is its input weights, its bias and its output weight. Pruned to its top m, a network keeps the m neurons of the
largest norms and its output bias. It is faithful where the signs of its outputs are those of the whole network's; the
effective sparsity is the smallest m of a faithful one. Nothing is subtracted from f.

Merrill, Tsilivis and Shukla (2023), "A tale of two circuits: grokking as competition of sparse and dense subnetworks",
arXiv:2303.11873.
"""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from llcx.tasks.parity.network import FullyConnected, Inputs, Members, Outputs

Norms = Float[Tensor, "M h"]


class Pruned(NamedTuple):
    """Of the networks pruned to their top 1, 2, .., h neurons."""

    agreement: Norms  # share of the strings on which they say what the whole network says
    accuracy: Norms  # share on which they are right


def norms(net: FullyConnected, w: Members) -> Norms:
    """Of each neuron. Raises ValueError where there is more than one hidden layer."""
    if net.cfg.layers != 1:
        raise ValueError(f"task.model.layers must be 1 to tell neurons apart, got {net.cfg.layers}")
    named = net.named(w)
    squares = named["W0"].square().sum(2) + named["W1"].square().squeeze(1)
    return (squares + named["B0"].square() if "B0" in named else squares).sqrt()


def effective(found: Norms) -> Float[Tensor, " M"]:
    """(sum n^2)^2 / sum n^4: as many neurons of equal norm would have this spread."""
    power = found.double().square()
    return power.sum(1).square() / power.square().sum(1)


def split(found: Norms, top: int) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """Mean norm of the top neurons and of the others; nan where there are none."""
    ordered = found.sort(1, descending=True).values
    return ordered[:, :top].mean(1), ordered[:, top:].mean(1)


def subnetwork(net: FullyConnected, w: Members, m: int) -> Members:
    """Weights whose outputs are those of the top m neurons alone."""
    pruned = w.clone()
    ranks = _ordered(net, w).argsort(1)
    net.named(pruned)["W1"].mul_((ranks < m).unsqueeze(1))
    return pruned


def pruned(net: FullyConnected, w: Members, x: Inputs, y: Outputs) -> Pruned:
    """Of every m at once, on strings x with labels +-1."""
    order = _ordered(net, w).unsqueeze(1)
    named, a = net.named(w), net.factors(w, x)[-1].inputs
    terms = a * named["W1"]
    f = terms.gather(2, order.expand_as(terms)).cumsum(2)
    f = f + net.cfg.bias * named["B1"].unsqueeze(1) if "B1" in named else f
    says = f > 0
    return Pruned((says == says[:, :, -1:]).double().mean(1), (says == (y > 0).unsqueeze(-1)).double().mean(1))


def sparsity(found: Pruned, faithful: float = 1.0) -> Int[Tensor, " M"]:
    """The smallest m with an agreement of at least `faithful`."""
    return (found.agreement >= faithful).int().argmax(1) + 1


def _ordered(net: FullyConnected, w: Members) -> Int[Tensor, "M h"]:
    """Neurons, that of the largest norm first."""
    return norms(net, w).argsort(stable=True, dim=1, descending=True)
