"""Which compositions are trained on, and which are kept for what.

    train      the 6 of one step and the pairs that are not held out; each primitive at least 3 times in both places
    val_id     the same compositions, other rows
    val_ood    held-out pairs, to choose thresholds by
    test_pair  other held-out pairs (systematicity)
    test_len3  three different steps (productivity)
    test_len4  four of them, where asked for

Held-out compositions are of different primitives: with one parameter a primitive many a repeated one is a shorter
program, or none at all. Held out in both orders, their sets of primitives are unseen too, and no trained pair computes
the same function because its steps commute.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from numpy.random import Generator, SeedSequence, default_rng

from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.programs import TYPES, Composition, every, name

SPLITS = ("train", "val_id", "val_ood", "test_pair", "test_len3", "test_len4")
STREAMS = (*SPLITS, "compositions", "episodes", "aligned", "order")  # where a name stands is part of its random stream
LEAST = 3  # trained pairs that have a primitive in the first place, and in the second
ATTEMPTS = 100_000
FOUND_IN = {"train": {"val_id"}, "val_id": {"train"}}  # splits that have a split's compositions on purpose


@dataclass(frozen=True)
class Splits:
    """Compositions of each split, ascending."""

    compositions: Mapping[str, tuple[Composition, ...]]

    def __getitem__(self, split: str) -> tuple[Composition, ...]:
        return self.compositions[split]

    @property
    def names(self) -> tuple[str, ...]:
        """Splits that have compositions."""
        return tuple(split for split in SPLITS if self.compositions[split])

    def record(self) -> dict[str, Any]:
        """What splits.json holds of them."""
        return {
            "compositions": {split: [list(each) for each in self[split]] for split in SPLITS},
            "names": {split: [name(each) for each in self[split]] for split in SPLITS},
            "digests": {split: digest(self[split]) for split in SPLITS},
        }


def stream(entropy: int, role: str, *index: int) -> Generator:
    """The random numbers of (role, index) alone: spawned, so that no two of them overlap however they are counted.

    Raises ValueError for a role that there is not.
    """
    if role not in STREAMS:
        raise ValueError(f"role must be one of {', '.join(STREAMS)}, got {role}")
    return default_rng(SeedSequence(entropy, spawn_key=(STREAMS.index(role), *index)))


def draw(cfg: Data, entropy: int) -> Splits:
    """The splits of one seed. Raises ValueError where so many pairs cannot be held out."""
    generator = stream(entropy, "compositions")
    validation, test = _held_out(cfg, generator)
    trained = tuple(each for length in (1, 2) for each in every(length) if each not in {*validation, *test})
    longer = {length: _some(every(length, repeats=False), count, generator) for length, count in _longer(cfg)}
    found = Splits(dict(zip(SPLITS, (trained, trained, validation, test, longer[3], longer[4]), strict=True)))
    check(found.record())
    return found


def check(record: Mapping[str, Any]) -> None:
    """Raise ValueError unless the splits of a record are disjoint and are those that their digests were taken of."""
    compositions = {split: [tuple(each) for each in found] for split, found in record["compositions"].items()}
    for split, found in compositions.items():
        if digest(found) != record["digests"][split]:
            raise ValueError(f"splits.{split} must have the digest {record['digests'][split]}, got {digest(found)}")
    for one, other in combinations(compositions, 2):
        both = sorted({*compositions[one]} & {*compositions[other]})
        if both and other not in FOUND_IN.get(one, ()):
            raise ValueError(f"splits {one} and {other} must be disjoint, got {name(both[0])} in both")


def digest(compositions: Iterable[Sequence[int]]) -> str:
    """16 hexadecimal digits that depend on the set of compositions alone."""
    text = ";".join(sorted(",".join(map(str, each)) for each in compositions))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _longer(cfg: Data) -> tuple[tuple[int, int], ...]:
    return (3, cfg.length_3), (4, cfg.length_4)


def _held_out(cfg: Data, generator: Generator) -> tuple[tuple[Composition, ...], tuple[Composition, ...]]:
    """Pairs of val_ood and of test_pair, drawn again until every primitive is left often enough in both places."""
    orders = 2 if cfg.orders == "both" else 1
    pairs = [each for each in every(2, repeats=False) if orders == 1 or each[0] < each[1]]
    cut, total = cfg.held_out_val // orders, (cfg.held_out_val + cfg.held_out_test) // orders
    for _ in range(ATTEMPTS):
        drawn = [pairs[int(place)] for place in generator.permutation(len(pairs))[:total]]
        parts = [drawn[:cut], drawn[cut:]]
        if orders == 2:
            parts = [[*part, *((b, a) for a, b in part)] for part in parts]
        if _enough({*parts[0], *parts[1]}):
            return tuple(sorted(parts[0])), tuple(sorted(parts[1]))
    raise ValueError(
        f"task.data.held_out_val + held_out_test must leave each primitive in {LEAST} trained pairs in both places, "
        f"got {cfg.held_out_val} + {cfg.held_out_test}; hold out fewer"
    )


def _enough(held_out: set[Composition]) -> bool:
    left = [each for each in every(2) if each not in held_out]
    return all(sum(each[place] == kind for each in left) >= LEAST for place in (0, 1) for kind in range(TYPES))


def _some(compositions: tuple[Composition, ...], count: int, generator: Generator) -> tuple[Composition, ...]:
    places = generator.permutation(len(compositions))[:count]
    return tuple(compositions[int(place)] for place in sorted(places))
