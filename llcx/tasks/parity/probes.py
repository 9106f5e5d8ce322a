"""What a network's F is made of, and what pulls at its inputs, while its loss does not tell.

Every F on {-1, +1}^d is a sum of parities: F = sum_S F^(S) chi_S, chi_S(x) = prod_{j in S} x_j, with the coefficients
F^(S) = E[F(x) chi_S(x)] under uniform x. `Fourier` tells, of the network's F and its support S of k bits,

    fourier             F^(S)
    fourier_other       the largest |F^(S')| of the other sets S' of k bits
    fourier_gap         |F^(S)| - fourier_other
    gradient_relevant   rms over neurons i and bits j in S of G_ij = E[chi_S(x) df/dW_ij], W the first layer
    gradient_irrelevant the same over the other bits
    gradient_gap        rms over neurons of G_ij at the weakest bit of S, less that at the strongest of the others

G is the gradient of the population where the loss is linear in F, as hinge is at its start. With df/dW_ij = g_i(x) x_j,
G_ij is g_i^(S without j) for j in S and g_i^(S with j) for other j: a coefficient of degree k - 1 against one of degree
k + 1. Where the former are larger g_i has a Fourier gap at S, and steps small against it still find S (Barak et al.,
for each neuron by itself; rms over neurons here).

Up to ALL_STRINGS bits the means are over all strings; else over the test rows, with an error of rms(F) / sqrt(rows),
and the largest of many coefficients that are 0 comes out near 4 times that.

Barak, Edelman, Goel, Kakade, Malach and Zhang (2022), "Hidden progress in deep learning: SGD learns parities near the
computational limit", arXiv:2207.08799.
"""

from functools import cache
from itertools import combinations
from math import comb

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llcx.tasks.parity import data
from llcx.tasks.parity.ensemble import Ensemble, PerMember
from llcx.tasks.parity.network import FullyConnected, Inputs, Members, Outputs
from llcx.tasks.parity.schema import ALL_STRINGS, Strings

SETS = 2**15  # of k bits; where there are more, the largest of them is not looked for
Supports = Int[Tensor, "M k"]


class Fourier:
    """Metrics of an ensemble at weights w, for two passes over the strings and a way back."""

    def __init__(self, network: FullyConnected, cfg: Strings) -> None:
        self.network, self.cfg = network, cfg

    def __call__(self, ensemble: Ensemble, w: Members) -> dict[str, PerMember]:
        """Empty where there are no strings to take means over."""
        support = ensemble.data.support
        if self.cfg.d <= ALL_STRINGS:
            x = data.every(self.cfg, support[0])[0].to(w)
            base = ensemble.base_of(x.expand(len(w), *x.shape))
        else:
            x, base = ensemble.data.x_test, ensemble.base_test
        if x.shape[-2] == 0:
            return {}
        signs = data.signs(self.cfg, x)
        chi = character(signs, support)
        f, gradient = self.network.pull(w, x, lambda f: chi.to(f) / f.shape[1])
        scaled = ensemble.alpha.unsqueeze(1) * (f - base).double()
        pulled = self.network.named(gradient)["W0"][:, :, : self.cfg.d].double().square().mean(1)
        return self._made_of(scaled, signs, support) | _gaps(pulled, support)

    def _made_of(self, f: Outputs, signs: Tensor, support: Supports) -> dict[str, PerMember]:
        d, k = self.cfg.d, self.cfg.k
        own = (f * character(signs, support)).mean(1)
        if comb(d, k) > SETS:
            return {"fourier": own}
        masks = _masks(d, k)
        found = walsh(f)[:, masks] if d <= ALL_STRINGS else coefficients(f, signs, k)
        others = found.abs().masked_fill(masks == _mask(support).unsqueeze(1), 0).amax(1)
        return {"fourier": own, "fourier_other": others, "fourier_gap": own.abs() - others}


def character(signs: Inputs, support: Supports) -> Outputs:
    """chi_S(x) for each member's S."""
    signs = signs.expand(len(support), *signs.shape[-2:])
    return signs.gather(2, support.unsqueeze(1).expand(-1, signs.shape[1], -1)).prod(2)


def walsh(f: Float[Tensor, "*M N"]) -> Float[Tensor, "*M N"]:
    """All coefficients of functions given at all N = 2^d strings, in the order of `data.every`.

    Bit j of a set's index tells whether j is in the set.

    Raises ValueError where N is no power of two.
    """
    n = f.shape[-1]
    if n < 1 or n & (n - 1):
        raise ValueError(f"f must be given at all 2^d strings, got {n} values")
    found, half = f / n, 1
    while half < n:
        even, odd = found.unflatten(-1, (-1, 2, half)).unbind(-2)
        found, half = torch.stack([even + odd, even - odd], -2).flatten(-3), 2 * half
    return found


def coefficients(f: Outputs, signs: Inputs, k: int) -> Float[Tensor, "M sets"]:
    """Means of f chi_S over the rows given, for all sets of k bits in the order of itertools.combinations."""
    n, d = signs.shape[-2:]
    signs = signs.expand(len(f), n, d).to(f)
    halves = [torch.tensor(list(combinations(range(d), size))).long().view(comb(d, size), size) for size in _halves(k)]
    found = []
    for own, bits in zip(f, signs, strict=True):  # one by one: products are many
        left, right = (bits[:, sets].prod(2) for sets in halves)
        found.append(((left * own.unsqueeze(1)).mT @ right)[_places(d, k)] / n)
    return torch.stack(found)


def _gaps(power: Float[Tensor, "M d"], support: Supports) -> dict[str, PerMember]:
    """Of mean squares over neurons, by bit."""
    inside = torch.zeros_like(power).scatter(1, support, 1.0)
    weakest = power.masked_fill(inside == 0, torch.inf).amin(1).sqrt()
    strongest = power.masked_fill(inside == 1, 0).amax(1).sqrt()
    told = {"gradient_gap": weakest - strongest}
    for name, mask in (("relevant", inside), ("irrelevant", 1 - inside)):
        told[f"gradient_{name}"] = ((power * mask).sum(1) / mask.sum(1)).sqrt()
    return told


def _mask(support: Supports) -> Int[Tensor, " M"]:
    return (1 << support).sum(1)


def _halves(k: int) -> tuple[int, int]:
    return k // 2, k - k // 2


@cache
def _masks(d: int, k: int) -> Int[Tensor, " sets"]:
    """A number for each set of k bits, 2^j added for each j in it."""
    return torch.tensor([sum(1 << j for j in chosen) for chosen in combinations(range(d), k)])


@cache
def _places(d: int, k: int) -> tuple[Int[Tensor, " sets"], Int[Tensor, " sets"]]:
    """Where the first half and the rest of each set of k bits stand among all sets of their sizes."""
    cut = k // 2
    first, rest = ({s: i for i, s in enumerate(combinations(range(d), size))} for size in _halves(k))
    pairs = [(first[s[:cut]], rest[s[cut:]]) for s in combinations(range(d), k)]
    left, right = torch.tensor(pairs).view(-1, 2).unbind(1)
    return left, right
