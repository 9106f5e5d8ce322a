"""The workloads of speed.py, in torch alone: what is timed with llcx and, under another Python, with its peers."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class Workload:
    kind: str  # dln | mlp | transformer
    widths: tuple[int, ...]  # of the layers; transformer: tokens, width, layers, length
    rows: int
    batch: int
    chains: int
    step_size: float  # small: all that counts is that no chain leaves the numbers
    steps: int  # of a repeat
    quick: int  # of a repeat of what takes less than a millisecond a chain-step


WORKLOADS = {
    "W1": Workload("dln", (6, 8, 8, 6), 5000, 500, 8, 1e-6, 20, 1000),
    "W2": Workload("mlp", (32, 80, 80, 10), 20000, 256, 4, 1e-6, 20, 300),
    "W3": Workload("transformer", (256, 128, 4, 32), 512, 32, 4, 1e-7, 2, 3),
    "W4": Workload("dln", (1290, 1290, 1290, 1290), 2000, 64, 2, 1e-8, 3, 8),
}


class Block(nn.Module):
    """Causal attention of four heads, written out, and a perceptron."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.register_buffer("future", torch.ones(length, length).triu(1).bool())

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (4, -1)).transpose(-2, -3) for part in self.into(self.before(x)).chunk(3, -1)
        )
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        seen = scores.masked_fill(self.get_buffer("future"), float("-inf")).softmax(-1) @ value
        x = x + self.out(seen.transpose(-2, -3).flatten(-2))
        out: Tensor = x + self.perceptron(self.after(x))
        return out


class Transformer(nn.Module):
    """Logits [B, T, tokens] of a causal transformer with tied embeddings."""

    def __init__(self, tokens: int, width: int, layers: int, length: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, length) for _ in range(layers)))
        self.last = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(self.tokens(x) + self.places)) @ self.tokens.weight.T


def network(workload: Workload) -> nn.Module:
    torch.manual_seed(0)
    if workload.kind == "transformer":
        tokens, width, layers, length = workload.widths
        return Transformer(tokens, width, layers, length)
    pairs = list(zip(workload.widths, workload.widths[1:], strict=False))
    if workload.kind == "dln":
        return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairs))
    layers_of = [layer for a, b in pairs for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers_of[:-1])


def rows(workload: Workload) -> tuple[Tensor, ...]:
    """Inputs and labels; of the transformer, tokens, one more than it reads."""
    draw = Generator().manual_seed(1)
    if workload.kind == "transformer":
        tokens, length = workload.widths[0], workload.widths[3]
        return (torch.randint(tokens, (workload.rows, length + 1), generator=draw),)
    into, out = workload.widths[0], workload.widths[-1]
    x = torch.randn(workload.rows, into, generator=draw)
    if workload.kind == "dln":
        return x, torch.randn(workload.rows, out, generator=draw)
    return x, torch.randint(out, (workload.rows,), generator=draw)
