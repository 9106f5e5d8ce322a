"""How wide a network must be to have about so many parameters: integers only.

With hidden layers of one width h, and b = 1 with biases, else 0,

    P(h) = (in + b) h + (depth - 1) (h + b) h + (h + b) out + 2 depth h [layer norm]

grows with h; the h is taken whose P is nearest to what is asked for, the smaller one of two.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from llcx.tasks.mlp.schema import Model, Teacher


def hidden(model: Model) -> list[int]:
    """Widths of the hidden layers."""
    if model.widths is not None:
        return list(model.widths)
    if model.depth == 0:
        return []
    assert model.target_params is not None  # Model refused it
    wide = 1
    while parameters(model, [wide] * model.depth) < model.target_params:
        wide *= 2
    low, high = wide // 2, wide  # P(low) < target <= P(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(model, [middle] * model.depth) < model.target_params else (low, middle)
    best = min((h for h in (low, high) if h > 0), key=lambda h: abs(_of(model, h) - _wanted(model)))
    return [best] * model.depth


def parameters(model: Model, widths: Sequence[int] | None = None) -> int:
    """P of the model, or of one with hidden layers of these widths."""
    inner = hidden(model) if widths is None else widths
    ends = [model.in_dim, *inner, model.out_dim]
    return sum((into + model.bias) * out for into, out in pairwise(ends)) + 2 * model.layernorm * sum(inner)


def taught_by(model: Model, teacher: Teacher) -> Model:
    """The teacher's shape: the model's, but for what it sets itself."""
    own = {key: getattr(teacher, key) for key in ("depth", "target_params", "activation")}
    changed = replace(model, **{key: value for key, value in own.items() if value is not None})
    if teacher.widths is None and teacher.depth is None and teacher.target_params is None:
        return changed
    size = parameters(model) if model.widths is not None else model.target_params
    wanted = size if teacher.target_params is None else teacher.target_params
    return replace(changed, widths=teacher.widths, target_params=wanted)


def _of(model: Model, width: int) -> int:
    return parameters(model, [width] * model.depth)


def _wanted(model: Model) -> int:
    return model.target_params or 0
