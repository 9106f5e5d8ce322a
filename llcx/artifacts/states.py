"""States on disk: flat dictionaries of tensors, numbers and strings, which reading cannot turn into code.

A file holds `format`, `sha256` (of every key, type, shape and byte), `state` and what its writer noted beside it.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llcx.artifacts.files import replace
from llcx.types import State

FORMAT = 1


def save(path: Path, state: Mapping[str, Any], **beside: int | float | str | bool) -> None:
    """Write `state`; ValueError names an entry that is no tensor, number or string."""
    held = {key: _held(key, value) for key, value in state.items()}
    out = io.BytesIO()
    torch.save({"format": FORMAT, "sha256": digest(held), "state": held, **beside}, out)
    replace(path, out.getvalue())


def read(path: Path) -> dict[str, Any]:
    """`state` and what was noted beside it; ValueError where the file is damaged, foreign or of another format."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path} must be a state written by llcx, got a damaged file; delete it") from error
    except Exception as error:  # weights_only refuses with pickle's own exceptions
        raise ValueError(f"{path} must hold tensors, numbers and strings, got something else; delete it") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path} must be of format {FORMAT}, got {dict(found).get('format')}; delete it")
    if digest(found["state"]) != found["sha256"]:
        raise ValueError(f"{path} must match its sha256, got a damaged file; delete it")
    return found


def load(path: Path) -> State:
    return dict(read(path)["state"])


def digest(state: Mapping[str, Any]) -> str:
    """sha256 over keys, types, shapes and bytes, whatever the order of the keys."""
    total = hashlib.sha256()
    for key in sorted(state):
        value = state[key]
        if isinstance(value, Tensor):
            total.update(f"{key}|{value.dtype}|{tuple(value.shape)}|".encode())
            total.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            total.update(f"{key}|{type(value).__name__}|{value!r}|".encode())
    return total.hexdigest()


def _held(key: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)  # a copy: a view would drag its whole storage along
    if isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"a state's {key} must be a tensor, a number or a string, got {type(value).__name__}")
