"""Reader of CIFAR-10's binary version, from its archive or its folder.

Six files of rows, each a label 0..9 and 3 x 32 x 32 bytes, channel after channel, row after row (Krizhevsky 2009). An
archive is read member by member, by exact names, and nothing of it is written anywhere. The python version is a pickle,
a program that reading would run: it is refused.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from llcx.tasks.vae.idx import unpacked

FOLDER, ARCHIVE = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
PICKLED = ("cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1")
SPLITS = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
ROW = 1 + 3 * 32 * 32  # bytes
LARGEST = 10_000  # rows of a file
CLASSES = 10


class Part(NamedTuple):
    """One half of the set, as its files have it."""

    images: UInt8[Tensor, "n 3 32 32"]
    labels: Int[Tensor, " n"]


def find(place: Path) -> Path | None:
    """The folder or the archive at `place`, which may be either itself; None where there is none."""
    if place.is_file():
        return None if place.name in PICKLED else place
    for folder in (place / FOLDER, place):
        if any((folder / name).is_file() for names in SPLITS.values() for name in names):
            return folder
    return place / ARCHIVE if (place / ARCHIVE).is_file() else None


def refuse_pickles(place: Path) -> None:
    """Raise ValueError where the python version lies at `place`."""
    for path in (place, *(place / name for name in PICKLED)):
        if path.name in PICKLED and path.exists():
            raise ValueError(
                f"{path} must be the binary version, got the python one: a pickle, which runs code when it is read; "
                f"get {ARCHIVE}, or convert the one you trust by the command in docs/data.md"
            )


def load(source: Path) -> dict[str, Part]:
    """Both halves by name, from the folder or the archive that `find` gave. Raises ValueError where a file of them is
    missing, damaged or not a plain file."""
    wanted = [name for names in SPLITS.values() for name in names]
    read = _of_archive(source, wanted) if source.is_file() else _of_folder(source, wanted)
    if missing := [name for name in wanted if name not in read]:
        raise ValueError(f"{source} must hold {', '.join(wanted)}, got no {', '.join(missing)}")
    return {split: _part([read[name] for name in names]) for split, names in SPLITS.items()}


def _of_folder(folder: Path, wanted: list[str]) -> dict[str, Tensor]:
    found = {}
    for path in (folder / name for name in wanted):
        if path.is_file():
            with _damage_told(path), path.open("rb") as file:
                found[path.name] = _rows(path, file.read)
    return found


def _of_archive(archive: Path, wanted: list[str]) -> dict[str, Tensor]:
    """The wanted members; others, whatever their names, are passed over."""
    names, found = {f"{FOLDER}/{name}": name for name in wanted}, dict[str, Tensor]()
    with _damage_told(archive), unpacked(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            name = names.get(member.name.removeprefix("./"))
            if name is None:
                continue
            file = tar.extractfile(member) if member.isreg() else None
            if file is None or name in found:
                got = "it twice" if name in found else "a link or a device"
                raise ValueError(f"{archive} must hold {member.name} once, as a plain file, got {got}")
            found[name] = _rows(archive / member.name, file.read)
        while stream.read(2**20):  # to its end, where the checksum is
            pass
    return found


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"{path} must be readable, got {type(error).__name__}: {error}; copy it again") from error


def _rows(path: Path, read: Callable[[int], bytes]) -> UInt8[Tensor, "n bytes"]:
    """Rows of one file, of which no more is read than a file may hold."""
    content = read(LARGEST * ROW + 1)
    if not content or len(content) % ROW:  # so is a file that is longer: its last row is cut
        raise ValueError(f"{path} must hold 1..{LARGEST} rows of {ROW} bytes, got {len(content)} bytes; copy it again")
    rows = torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(-1, ROW)
    if (label := int(rows[:, 0].max())) >= CLASSES:
        raise ValueError(f"{path} must have labels in 0..{CLASSES - 1}, got {label}; the file is damaged")
    return rows


def _part(files: list[Tensor]) -> Part:
    rows = torch.cat(files)
    return Part(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].long())
