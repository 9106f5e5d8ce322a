"""A state as a run folder would give it back."""

import io

import torch

from llcx.types import State


def written_and_read(state: State) -> State:
    """Through bytes, with `weights_only=True`."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    read: State = torch.load(file, weights_only=True)
    return read
