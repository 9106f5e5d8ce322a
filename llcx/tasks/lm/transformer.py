"""A causal transformer, small enough to be read: learned positions, layer norm first, heads that are modules.

    x_t = e(token_t) + p_t;    x += sum_h O_h A_h V_h norm(x);    x += W_2 gelu(W_1 norm(x))    (mlp > 0)
    A_h = softmax over s <= t of  Q_h norm(x)_t . K_h norm(x)_s / sqrt(width of a head)
    logits = U norm(x)

Each head has parameters of its own, `layers.<l>.heads.<h>.{query,key,value,out}`, so that globs select it. Attention is
written out: it then runs for all chains at once, which the fused kernels do not.

Two layers of attention alone are the least in which a head that copies can build on one that looks back: Olsson et al.
(2022), "In-context learning and induction heads", arXiv:2209.11895.
"""

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

Stream = Float[Tensor, "B T d"]
Pattern = Float[Tensor, "B H T S"]


def _normal(*shape: int, std: float) -> nn.Parameter:
    """From torch's global generator, as initialisers of modules are; rng.seeded seeds it."""
    return nn.Parameter(torch.randn(*shape, generator=torch.default_generator) * std)


class Head(nn.Module):
    """The maps of one head."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (_normal(width, d, std=d**-0.5) for _ in range(3))
        self.out = _normal(d, width, std=d**-0.5)


class Layer(nn.Module):
    """Attention, and with `mlp` hidden units a perceptron after it."""

    def __init__(self, d: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.heads = nn.ModuleList(Head(d, d // heads) for _ in range(heads))
        if mlp:
            self.mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, mlp), nn.GELU(), nn.Linear(mlp, d))

    def forward(self, x: Stream) -> Stream:
        return self.attended(x)[0]

    def attended(self, x: Stream) -> tuple[Stream, Pattern]:
        """The stream after the layer, and where each head looked."""
        query, key, value = self._split(self.norm(x))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        pattern = scores.masked_fill(later, float("-inf")).softmax(-1)
        x = x + F.linear((pattern @ value).transpose(1, 2).flatten(2), self._joined("out", 1))
        return (x + self.mlp(x) if hasattr(self, "mlp") else x), pattern

    def _split(self, x: Stream) -> tuple[Tensor, ...]:
        """Queries, keys and values [B, H, T, width], by one product."""
        weights = torch.cat([self._joined(name, 0) for name in ("query", "key", "value")])
        found = F.linear(x, weights).unflatten(-1, (3, len(self.heads), -1))
        return found.permute(2, 0, 3, 1, 4).unbind(0)

    def _joined(self, name: str, dim: int) -> Tensor:
        return torch.cat([getattr(head, name) for head in self.heads], dim)


class Transformer(nn.Module):
    """Tokens [B, T] -> logits [B, T, vocabulary] of the next one, T up to `context`."""

    def __init__(self, vocabulary: int, context: int, *, d: int, layers: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.position = _normal(context, d, std=1.0)
        self.layers = nn.ModuleList(Layer(d, heads, mlp) for _ in range(layers))
        self.norm = nn.LayerNorm(d)
        self.unembed = nn.Linear(d, vocabulary, bias=False)

    def forward(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        logits: Tensor = self.unembed(self.norm(self._run(tokens)[0]))
        return logits

    def patterns(self, tokens: Int[Tensor, "B T"]) -> list[Pattern]:
        """Where the heads of each layer looked."""
        return self._run(tokens)[1]

    def _run(self, tokens: Int[Tensor, "B T"]) -> tuple[Stream, list[Pattern]]:
        x, found = self.embed(tokens) + self.position[: tokens.shape[1]], list[Pattern]()
        for layer in cast(Iterable[Layer], self.layers):
            x, pattern = layer.attended(x)
            found.append(pattern)
        return x, found
