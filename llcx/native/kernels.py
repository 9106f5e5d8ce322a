"""The functions of `noise.c` on tensors."""

import ctypes
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.native.compiler import built

POINTER, LONG, WORD, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64, ctypes.c_float
TAKEN = {
    "normal32": (POINTER, LONG, LONG, POINTER, WORD),
    "normal64": (POINTER, LONG, LONG, POINTER, WORD),
    "langevin32": (POINTER, POINTER, POINTER, POINTER, LONG, LONG, POINTER, WORD, REAL, REAL),
}
NORMALS = {torch.float32: "normal32", torch.float64: "normal64"}


class Kick(NamedTuple):
    """A Langevin step, and what it was made of: lengths [C, 1] of the gradient and of z."""

    w: Float[Tensor, "C P"]
    grad: Float[Tensor, "C 1"]
    normal: Float[Tensor, "C 1"]


def ready() -> None:
    """Build what is missing. Raises ValueError, naming hardware.noise, where that cannot be done."""
    _library()


def normal(like: Float[Tensor, "C P"], keys: tuple[int, ...], call: int) -> Float[Tensor, "C P"]:
    """Standard normals on the CPU in the dtype of `like`: row c a function of (keys[c], call, position) alone.

    Of 32 bits each in float32, |z| <= 6.77, and of 53 or more in float64, |z| <= 8.66. Call numbers and keys are below
    2^64.
    """
    if like.dtype not in NORMALS:
        raise ValueError(f"hardware.noise must be torch for weights of {like.dtype}, got native; float32 or 64")
    out = torch.empty(len(keys), like.shape[1], dtype=like.dtype)
    getattr(_library(), NORMALS[like.dtype])(out.data_ptr(), *out.shape, _words(keys), call)
    return out


def langevin(
    w: Float[Tensor, "C P"], grad: Float[Tensor, "C P"], keys: tuple[int, ...], call: int, *, drift: float, scale: float
) -> Kick:
    """(w + drift grad) + scale z in one pass over float32, z = normal(w, keys, call): the bits of those operations."""
    if not w.dtype == grad.dtype == torch.float32 or not w.shape == grad.shape or len(w) != len(keys):
        raise ValueError(f"w and grad must be float32 [{len(keys)}, P], got {w.dtype} {[*w.shape]}, {[*grad.shape]}")
    w, grad, out = w.contiguous(), grad.contiguous(), torch.empty_like(w, memory_format=torch.contiguous_format)
    squares = torch.empty(len(w), 2, dtype=torch.float64)
    pointers = (each.data_ptr() for each in (out, w, grad, squares))
    _library().langevin32(*pointers, *w.shape, _words(keys), call, drift, scale)
    return Kick(out, *squares.sqrt().split(1, dim=1))


def _words(keys: tuple[int, ...]) -> Any:
    return (WORD * len(keys))(*keys)


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(built("noise.c")))
    for name, taken in TAKEN.items():
        function = getattr(library, name)
        function.argtypes, function.restype = taken, None
    return library
