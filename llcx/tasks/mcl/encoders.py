"""Encoders of (grid, steps): one call, whatever is inside.

    recurrent    a state of the whole grid; at each step state + W2 gelu(W1 [norm(state); token]), or a GRU cell
    transformer  patches and steps together; position of a step is embedded
    looped       a block of layers over patches and one step's token, the same block at each step
    gru          patches, then steps, through GRU layers; the last state

recurrent and looped apply the same weights once a step, and so know no positions. A step that is padding leaves what
there is as it is. No batch norm: examples do not meet. Under torch.func.vmap weights, inputs or both may be many.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from llcx.tasks.mcl.attention import Layer
from llcx.tasks.mcl.model_settings import ENCODERS, Model
from llcx.tasks.mcl.primitives import SIDE
from llcx.tasks.mcl.prompts import Steps, Table, Vocabulary

Planes = Float[Tensor, "B C 8 8"]  # one plane a colour
State = Float[Tensor, "B state"]


class Encoded(NamedTuple):
    """What an encoder found."""

    layers: dict[str, Tensor]  # patch, enc1, enc2, ..: [B, T, features] each
    pooled: Float[Tensor, "B T features"]  # what h is made of


class Patches(nn.Module):
    """A grid as tokens, row by row: a linear map of each patch, and of its place."""

    def __init__(self, cfg: Model, colours: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(colours, cfg.width, cfg.patch, cfg.patch)
        _widen(self.embed.weight, colours)
        self.place = Table((SIDE // cfg.patch) ** 2, cfg.width, std=0.5)

    def forward(self, grids: Planes) -> Float[Tensor, "B T d"]:
        return self.embed(grids).flatten(2).mT + self.place.weight


class Residual(nn.Module):
    """state + W2 gelu(W1 [norm(state); token])."""

    def __init__(self, cfg: Model) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(cfg.units)
        self.up, self.down = nn.Linear(cfg.units + cfg.width, cfg.hidden), nn.Linear(cfg.hidden, cfg.units)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, state: State, token: Float[Tensor, "B d"]) -> State:
        hidden = self.up(torch.cat([self.norm(state), token], -1))
        return state + self.dropout(self.down(nn.functional.gelu(hidden)))


class GRUCell(nn.Module):
    """(1 - z) n + z state, n = tanh(W x + r (U state)); Cho et al. (2014), arXiv:1406.1078, as torch.nn.GRUCell."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.of_input, self.of_state = nn.Linear(inputs, 3 * units), nn.Linear(units, 3 * units)

    def forward(self, state: State, token: Float[Tensor, "B d"]) -> State:
        return self.step(state, self.of_input(token))

    def step(self, state: State, projected: Float[Tensor, "B gates"]) -> State:
        """`projected`: of_input of the token."""
        r, z, n = projected.chunk(3, -1)
        own_r, own_z, own_n = self.of_state(state).chunk(3, -1)
        update = (z + own_z).sigmoid()
        return (1 - update) * (n + (r + own_r).sigmoid() * own_n).tanh() + update * state


class Recurrent(nn.Module):
    """A cell, once a step."""

    def __init__(self, cfg: Model, colours: int) -> None:
        super().__init__()
        self.start = nn.Linear(colours * SIDE**2, cfg.units)
        _widen(self.start.weight, colours)
        self.cell: nn.Module = Residual(cfg) if cfg.cell == "residual" else GRUCell(cfg.width, cfg.units)
        self.norm = nn.LayerNorm(cfg.units)

    def forward(self, grids: Planes, steps: Steps) -> Encoded:
        state = self.start(grids.flatten(1))
        layers = {"patch": state.unsqueeze(1)}
        for place in range(steps.tokens.shape[1]):
            after = self.cell(state, steps.tokens[:, place])
            state = torch.where(steps.mask[:, place, None], after, state)
            layers[f"enc{place + 1}"] = state.unsqueeze(1)
        return Encoded(layers, self.norm(state).unsqueeze(1))


class Transformer(nn.Module):
    """Layers over patches and steps together."""

    def __init__(self, cfg: Model, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.patches = Patches(cfg, vocabulary.colours)
        self.position = Table(places(cfg, vocabulary), cfg.width)
        self.layers = _layers(cfg)
        self.norm = nn.LayerNorm(cfg.width)

    def forward(self, grids: Planes, steps: Steps) -> Encoded:
        x = self.patches(grids)
        layers, count = {"patch": x}, x.shape[1]
        order = torch.arange(steps.tokens.shape[1], device=x.device).expand(steps.mask.shape)
        told = steps.tokens + self.position(order if steps.positions is None else steps.positions)
        x, mask = torch.cat([x, told], 1), torch.cat([_always(steps, count), steps.mask], 1)
        for place, layer in enumerate(self.layers):
            x = layer(x, mask)
            layers[f"enc{place + 1}"] = x[:, :count]
        return Encoded(layers, self.norm(x[:, :count]))


class Looped(nn.Module):
    """A block over patches and one step's token, once a step."""

    def __init__(self, cfg: Model, colours: int) -> None:
        super().__init__()
        self.patches, self.layers, self.norm = Patches(cfg, colours), _layers(cfg), nn.LayerNorm(cfg.width)

    def forward(self, grids: Planes, steps: Steps) -> Encoded:
        x = self.patches(grids)
        layers, mask = {"patch": x}, _always(steps, x.shape[1] + 1)
        for place in range(steps.tokens.shape[1]):
            after = torch.cat([x, steps.tokens[:, place, None]], 1)
            for layer in self.layers:
                after = layer(after, mask)
            x = torch.where(steps.mask[:, place, None, None], after[:, :-1], x)
            layers[f"enc{place + 1}"] = x
        return Encoded(layers, self.norm(x))


class GRU(nn.Module):
    """Layers over the sequence of patches, then steps."""

    def __init__(self, cfg: Model, colours: int) -> None:
        super().__init__()
        self.patches = Patches(cfg, colours)
        self.cells = nn.ModuleList(GRUCell(cfg.units if i else cfg.width, cfg.units) for i in range(cfg.layers))

    def forward(self, grids: Planes, steps: Steps) -> Encoded:
        x = self.patches(grids)
        layers, count = {"patch": x}, x.shape[1]
        x, mask = torch.cat([x, steps.tokens], 1), torch.cat([_always(steps, count), steps.mask], 1)
        for place, cell in enumerate(self.cells):
            x = self._through(cell, x, mask)
            layers[f"enc{place + 1}"] = x
        return Encoded(layers, x[:, -1:])

    def _through(self, cell: nn.Module, x: Tensor, mask: Tensor) -> Float[Tensor, "B T state"]:
        """States after each token; the last one is that after the last token that is not padding."""
        assert isinstance(cell, GRUCell)
        projected, states = cell.of_input(x), []
        state = projected.new_zeros(x.shape[0], cell.of_state.in_features)
        for place in range(x.shape[1]):
            state = torch.where(mask[:, place, None], cell.step(state, projected[:, place]), state)
            states.append(state)
        return torch.stack(states, 1)


def build(cfg: Model, vocabulary: Vocabulary) -> nn.Module:
    """(planes [B, C, 8, 8], Steps) -> Encoded. Raises ValueError for an encoder that there is not."""
    if cfg.encoder == "recurrent":
        return Recurrent(cfg, vocabulary.colours)
    if cfg.encoder == "transformer":
        return Transformer(cfg, vocabulary)
    if cfg.encoder == "looped":
        return Looped(cfg, vocabulary.colours)
    if cfg.encoder == "gru":
        return GRU(cfg, vocabulary.colours)
    raise ValueError(f"task.model.encoder must be one of {', '.join(ENCODERS)}, got {cfg.encoder}")


def size(cfg: Model) -> tuple[int, int]:
    """Tokens of `pooled`, and numbers of each."""
    whole = cfg.encoder in ("recurrent", "gru")
    return (1, cfg.units) if whole else ((SIDE // cfg.patch) ** 2, cfg.width)


def places(cfg: Model, vocabulary: Vocabulary) -> int:
    """Positions that a step of transformer may have."""
    return vocabulary.longest if cfg.positions is None else cfg.positions


@torch.no_grad()
def _widen(weight: Tensor, colours: int) -> None:
    """Give what comes out variance 1: of its inputs, one in `colours` is 1 and the others are 0."""
    weight.mul_((3 * colours) ** 0.5)


def _layers(cfg: Model) -> nn.ModuleList:
    return nn.ModuleList(
        Layer(cfg.width, cfg.heads, cfg.feedforward * cfg.width, cfg.dropout) for _ in range(cfg.layers)
    )


def _always(steps: Steps, count: int) -> Bool[Tensor, "B T"]:
    """True for so many tokens of each example."""
    return torch.ones(len(steps.mask), count, dtype=torch.bool, device=steps.mask.device)
