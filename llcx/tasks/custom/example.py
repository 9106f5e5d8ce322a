"""What +experiment=custom_tiny measures, and a pattern for a file of your own: digits that come with scikit-learn."""

from collections import OrderedDict

import torch
from torch import Tensor, nn


def build(width: int = 16) -> nn.Module:
    """The classifier where its training starts; parameters are named hidden.* and head.*"""
    layers = {"hidden": nn.Linear(64, width), "act": nn.Tanh(), "head": nn.Linear(width, 10)}
    return nn.Sequential(OrderedDict(layers))


def load(rows: int | None = None, skip: int = 0) -> tuple[Tensor, Tensor]:
    """Images [N, 64] in [0, 1] and their labels [N]: `rows` of them (None: all 1797) after the first `skip`."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    wanted = slice(skip, None if rows is None else skip + rows)
    return torch.tensor(pixels[wanted] / 16, dtype=torch.float32), torch.tensor(digits[wanted])


def held_out() -> tuple[Tensor, Tensor]:
    """The last 297 rows."""
    return load(skip=1500)
