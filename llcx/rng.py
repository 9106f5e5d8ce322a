"""One seed -> named streams, and the noise of chains.

A stream is a function of (seed, role) alone: changing the sampler does not change the data, and the arms of a study are
paired by their seed. Chain noise is a function of (seed, chain, call): nothing depends on how chains are grouped.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from llcx.types import Index, PerChain, State

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, the increment of splitmix64


def _mix(*words: object) -> int:
    """63 bits that depend on every word and on their order."""
    digest = hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True)
class _Streams:
    seed: int
    path: tuple[int, ...] = ()

    def generator(self, role: str) -> Generator:
        return Generator().manual_seed(_mix(self.seed, *self.path, role))

    def replicate(self, index: int) -> "_Streams":
        return _Streams(self.seed, (*self.path, index))

    def key(self, role: str) -> int:
        """The integer behind a stream, for counter-based rows."""
        return _mix(self.seed, *self.path, role)


def streams(seed: int) -> _Streams:
    """The streams of `seed`: `streams(0).generator("data")` gives the same numbers each time it is called."""
    return _Streams(seed)


@contextmanager
def seeded(generator: Generator) -> Iterator[None]:
    """Seed torch's global generator from `generator` inside the block and restore it after.

    For initialisers of nn.Module, which accept no generator.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield


def counter_uniform(key: int, rows: Tensor, columns: int) -> Tensor:
    """Uniforms in (0, 1), float64 [*rows.shape, columns]: a function of (key, row, column) alone.

    splitmix64 (Steele, Lea, Flood 2014) of a counter, 53 bits each: data need not be stored to be the same again.
    """
    row = _splitmix(rows.long().unsqueeze(-1) + _signed(_mix(key, "row")))
    column = _signed(_GOLDEN) * torch.arange(1, columns + 1, device=rows.device)
    bits = _shift(_splitmix(row + column), 11)
    return (bits.double() + 0.5) * 2.0**-53


def counter_normal(key: int, rows: Tensor, columns: int) -> Tensor:
    """Standard normals, float64 [*rows.shape, columns]: a function of (key, row, column) alone."""
    return torch.special.ndtri(counter_uniform(key, rows, columns))


def _signed(word: int) -> int:
    word &= 2**64 - 1
    return word - 2**64 if word >= 2**63 else word


def _shift(bits: Tensor, by: int) -> Tensor:
    """Logical right shift of int64, which torch shifts arithmetically."""
    return (bits >> by) & (2 ** (64 - by) - 1)


def _splitmix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * _signed(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)


class ChainNoise:
    """Random numbers of C chains, row c from chain c's own generators (types.Noise).

    Normals are drawn in blocks of steps whose length depends on P alone, since one call for 64 steps costs a fifth of
    64 calls for one.
    """

    def __init__(self, seed: int, chains: int, device: torch.device | str = "cpu") -> None:
        self.chains, self.device = chains, torch.device(device)
        self._seed = seed
        self._generators: dict[tuple[str, int], Generator] = {}
        self._blocks: dict[str, tuple[Tensor | None, int]] = {}  # role -> (rows drawn ahead, steps used of them)
        self._before: dict[str, Tensor] = {}  # role -> its generators' states before that block

    def state(self) -> State:
        """Where the streams are; blocks are not in it, they are drawn again."""
        found: State = {f"{role}.used": used for role, (_, used) in self._blocks.items()}
        shared = self._generators.get(("shared", 0))
        return {**found, **self._before, **({"shared": shared.get_state()} if shared else {})}

    def load(self, state: State) -> None:
        for role, before in state.items():
            if isinstance(before, Tensor):
                rows = before if before.ndim == 2 else before.unsqueeze(0)
                for chain, row in enumerate(rows):
                    self._generator(role, chain).set_state(row.cpu().clone())  # a view of other rows crashes it
            else:
                self._blocks[role.removesuffix(".used")] = (None, int(before))

    def normal(self, like: Tensor) -> Tensor:
        size = like.shape[1]
        steps = max(1, min(64, 2**17 // max(size, 1)))

        def fill(out: Tensor, generator: Generator) -> None:
            out.normal_(generator=generator)

        return self._next("normal", (steps, size), like.dtype, fill)

    def uniform(self) -> PerChain:
        def fill(out: Tensor, generator: Generator) -> None:
            out.uniform_(generator=generator)

        return self._next("uniform", (256, 1), torch.float64, fill).squeeze(1)

    def indices(self, rows: int, batch: int) -> Index:
        def fill(out: Tensor, generator: Generator) -> None:
            out.random_(0, rows, generator=generator)

        return self._next("indices", (max(1, 2**14 // batch), batch), torch.int64, fill)

    def shared(self) -> float:
        return float(torch.rand((), generator=self._generator("shared", 0), dtype=torch.float64, device=self.device))

    def _generator(self, role: str, chain: int) -> Generator:
        if (role, chain) not in self._generators:
            fresh = Generator(device=self.device).manual_seed(_mix(self._seed, "chains", role, chain))
            self._generators[role, chain] = fresh
        return self._generators[role, chain]

    def _next(self, role: str, shape: tuple[int, int], dtype: torch.dtype, fill) -> Tensor:  # type: ignore[no-untyped-def]
        """The next step's rows [C, shape[1]] of `role`, drawing a block of shape[0] steps a chain when one runs out."""
        block, used = self._blocks.get(role, (None, 0))
        block = self._block(role, shape, dtype, fill) if block is None else block
        if used == shape[0]:
            block, used = self._block(role, shape, dtype, fill), 0
        self._blocks[role] = (block, used + 1)
        return block[:, used]

    def _block(self, role: str, shape: tuple[int, int], dtype: torch.dtype, fill) -> Tensor:  # type: ignore[no-untyped-def]
        generators = [self._generator(role, chain) for chain in range(self.chains)]
        self._before[role] = torch.stack([each.get_state() for each in generators])
        block = torch.empty(self.chains, *shape, dtype=dtype, device=self.device)
        for rows, generator in zip(block, generators, strict=True):
            fill(rows, generator)
        return block
