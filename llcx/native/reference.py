"""The generator of `noise.c` in torch: the same bits of Philox, and normals by torch's own logarithm, sine and cosine.

Slow, and the reference that the compiled one is held against: to 1e-6 in float32 and 1e-14 in float64.
"""

from math import pi

import torch
from jaxtyping import Float, Int64
from torch import Tensor

LANES = 32  # blocks side by side
WORD = 2**32 - 1
MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)


def philox(counter: Int64[Tensor, "4 *n"], key: tuple[int, int], rounds: int = 10) -> Int64[Tensor, "4 *n"]:
    """Philox4x32 of 32-bit words, kept in int64; Salmon, Moraes, Dror and Shaw (2011)."""
    a, b, c, d = counter.unbind()
    low, high = key
    for _ in range(rounds):
        (over, under), (above, below) = _product(a, MULTIPLIERS[0]), _product(c, MULTIPLIERS[1])
        a, b, c, d = above ^ b ^ low, below, over ^ d ^ high, under
        low, high = (low + WEYL[0]) & WORD, (high + WEYL[1]) & WORD
    return torch.stack((a, b, c, d))


def normal(like: Float[Tensor, "C P"], keys: tuple[int, ...], call: int) -> Float[Tensor, "C P"]:
    """What kernels.normal gives."""
    make = _single if like.dtype == torch.float32 else _double
    return torch.stack([make(key, call, like.shape[1]) for key in keys]).to(like.dtype)


def _product(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Upper and lower word of a product of two words, by halves: int64 has a sign."""
    low = (word & 0xFFFF) * factor
    high = (word >> 16) * factor + (low >> 16)
    return high >> 16, (high & 0xFFFF) << 16 | low & 0xFFFF


def _words(key: int, call: int, blocks: int) -> Int64[Tensor, "parts 4 LANES"]:
    """The words of so many blocks, from the first on, in parts of LANES."""
    block = torch.arange(-(-blocks // LANES) * LANES)
    counter = torch.stack([block & WORD, block >> 32, *(torch.full_like(block, call >> by & WORD) for by in (0, 32))])
    return philox(counter, (key & WORD, key >> 32)).view(4, -1, LANES).movedim(1, 0)


def _single(key: int, call: int, size: int) -> Float[Tensor, " size"]:
    x = _words(key, call, -(-size // 4)).double()
    first, second = (_pair((x[:, k] + 0.5) * 2.0**-32, x[:, k + 1] * 2.0**-32) for k in (0, 2))
    return torch.cat((first, second), 1).flatten()[:size]


def _double(key: int, call: int, size: int) -> Float[Tensor, " size"]:
    x = _words(key, call, -(-size // 2))
    bits, turn = (x[:, 0] << 21 | x[:, 1] >> 11).double(), x[:, 2].double() + x[:, 3].double() * 2.0**-32
    return _pair((bits + 0.5) * 2.0**-53, turn * 2.0**-32).flatten()[:size]


def _pair(u: Tensor, turn: Tensor) -> Tensor:
    """Box and Muller (1958): two normals of a radius and an angle in turns, [parts, 2 LANES]."""
    r, angle = (-2 * u.log()).sqrt(), 2 * pi * turn
    return torch.cat((r * angle.cos(), r * angle.sin()), 1)
