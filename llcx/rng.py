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

from llcx import native
from llcx.types import Chains, Index, PerChain, State

NOISES = ("torch", "native")
_noise = NOISES[0]
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


def use(noise: str, device: torch.device | str = "cpu") -> str:
    """How the chains of this process make their normals from now on, torch | native; what it was before.

    Raises ValueError where there is no compiler for `native` or the chains are not on the CPU.
    """
    global _noise
    if noise not in NOISES:
        raise ValueError(f"hardware.noise must be one of {', '.join(NOISES)}, got {noise}")
    if noise == "native":
        _on_cpu(device)
        native.ready()
    before, _noise = _noise, noise
    return before


def _on_cpu(device: torch.device | str) -> None:
    if torch.device(device).type != "cpu":
        raise ValueError(f"hardware.noise must be torch on {device}, got native; that is made on the CPU")


class ChainNoise:
    """Random numbers of C chains, row c from chain c's own generators (types.Noise).

    Normals of torch are drawn in blocks of steps whose length depends on P alone, since one call for 64 steps costs a
    fifth of 64 calls for one. Native ones (`use`) are functions of (key of the chain, call, position).
    """

    def __init__(self, seed: int, chains: int, device: torch.device | str = "cpu", first: int = 0) -> None:
        """Of the chains `first` to `first + chains - 1`."""
        self.chains, self.first, self.device = chains, first, torch.device(device)
        self._seed = seed
        self._generators: dict[tuple[str, int], Generator] = {}
        self._blocks: dict[str, tuple[Tensor | None, int]] = {}  # role -> (rows drawn ahead, steps used of them)
        self._before: dict[str, Tensor] = {}  # role -> its generators' states before that block
        self._keys: tuple[int, ...] = ()  # of native normals
        self._calls = 0  # of native normals so far
        if _noise == "native":
            self._by_counter()

    def state(self) -> State:
        """Where the streams are; blocks are not in it, they are drawn again."""
        found: State = {f"{role}.used": used for role, (_, used) in self._blocks.items()}
        found |= {"normal.calls": self._calls} if self._keys else {}
        shared = self._generators.get(("shared", 0))
        return {**found, **self._before, **({"shared": shared.get_state()} if shared else {})}

    def load(self, state: State) -> None:
        """Go on from there, with the normals that were used there."""
        self._keys = ()
        for role, before in state.items():
            if isinstance(before, Tensor):
                rows = before if before.ndim == 2 else before.unsqueeze(0)
                for chain, row in enumerate(rows, 0 if role == "shared" else self.first):
                    self._generator(role, chain).set_state(row.cpu().clone())  # a view of other rows crashes it
            elif role == "normal.calls":
                self._calls = int(before)
                self._by_counter()
            else:
                self._blocks[role.removesuffix(".used")] = (None, int(before))

    def normal(self, like: Tensor) -> Tensor:
        if self._keys:
            self._calls += 1
            return native.normal(like, self._keys, self._calls - 1)
        size = like.shape[1]
        steps = max(1, min(64, 2**17 // max(size, 1)))

        def fill(out: Tensor, generator: Generator) -> None:
            out.normal_(generator=generator)

        return self._next("normal", (steps, size), like.dtype, fill)

    def langevin(self, w: Chains, grad: Chains, *, drift: float, scale: float) -> native.Kick | None:
        """(w + drift grad) + scale z in one pass, z what `normal` would give; None where there is no such kernel."""
        if not self._keys or w.dtype != torch.float32:
            return None
        self._calls += 1
        return native.langevin(w, grad, self._keys, self._calls - 1, drift=drift, scale=scale)

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

    def _by_counter(self) -> None:
        _on_cpu(self.device)
        chains = range(self.first, self.first + self.chains)
        self._keys = tuple(_mix(self._seed, "chains", "native normal", chain) for chain in chains)

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
        generators = [self._generator(role, chain) for chain in range(self.first, self.first + self.chains)]
        self._before[role] = torch.stack([each.get_state() for each in generators])
        block = torch.empty(self.chains, *shape, dtype=dtype, device=self.device)
        for rows, generator in zip(block, generators, strict=True):
            fill(rows, generator)
        return block
