"""Reader of idx files, plain or gzipped, and of the four of them that make a set of labelled images.

    0 0 | 8, for unsigned bytes | axes k | k sizes, four bytes each, the highest first | the bytes, last axis fastest

LeCun, Cortes and Burges, the MNIST database of handwritten digits; Fashion-MNIST (Xiao, Rasul and Vollgraf 2017) has
the same files. What is read is as long as its header says, or it is refused.
"""

import zlib
from collections.abc import Callable, Mapping
from gzip import GzipFile
from hashlib import sha256
from io import BufferedReader
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

LARGEST = 2**30  # bytes of an array
GZIP = b"\x1f\x8b"
SPLITS = {"train": "train", "test": "t10k"}
STEMS = {"images": "images{}idx3-ubyte", "labels": "labels{}idx1-ubyte"}
# SHA-256 of the published files, unpacked: packed ones differ from one distributor to the next.
PUBLISHED: Mapping[str, str] = MappingProxyType(
    {
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db": "train images of mnist",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "train labels of mnist",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7": "test images of mnist",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": "test labels of mnist",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888": "train images of fashion_mnist",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": "train labels of fashion_mnist",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b": "test images of fashion_mnist",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": "test labels of fashion_mnist",
    }
)


class Part(NamedTuple):
    """One half of a set, as its files have it."""

    images: UInt8[Tensor, "n 1 h w"]
    labels: Int[Tensor, " n"]
    published: bool  # both files are, byte for byte, those that were published


def found(place: Path) -> bool:
    """Whether the folder holds any file of a set."""
    return any(_path(place, split, kind).is_file() for split in SPLITS for kind in STEMS)


def load(place: Path, split: str, name: str) -> Part:
    """`split` (train or test) of the set `name` from its two files in the folder `place`.

    Raises ValueError where a file is missing or damaged, where the two differ in length, and where one of them is known
    to be another set's, or another half's.
    """
    arrays, known = {}, []
    for kind, axes in (("images", 3), ("labels", 1)):
        path = _path(place, split, kind)
        arrays[kind], digest = read(path)
        known.append(PUBLISHED.get(digest))
        if known[-1] not in (None, wanted := f"{split} {kind} of {name}"):
            raise ValueError(f"{path} must be {wanted}, got {known[-1]}")
        if arrays[kind].ndim != axes:
            raise ValueError(f"{path} must be an array of {axes} axes, got {arrays[kind].ndim}")
    if len(arrays["images"]) != len(arrays["labels"]):
        counts = " and ".join(f"{len(array)} {kind}" for kind, array in arrays.items())
        raise ValueError(f"{place} must have as many labels as images in {split}, got {counts}")
    return Part(arrays["images"].unsqueeze(1), arrays["labels"].long(), None not in known)


def read(path: Path) -> tuple[UInt8[Tensor, "..."], str]:
    """The array, and the SHA-256 of the unpacked file. Raises ValueError where it is missing or damaged."""
    try:
        with unpacked(path) as file:
            sizes, content = _content(path, file.read)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} must be a readable idx file, got {type(error).__name__}: {error}") from error
    head = 4 + 4 * len(sizes)
    return torch.frombuffer(content, dtype=torch.uint8, offset=head).reshape(sizes), sha256(content).hexdigest()


def unpacked(path: Path) -> GzipFile | BufferedReader:
    """The file, opened; through gzip where its first bytes say so, whatever its name."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return GzipFile(path) if packed else path.open("rb")


def _content(path: Path, read: Callable[[int], bytes]) -> tuple[list[int], bytearray]:
    """The sizes of the axes and the whole file, of which no more is read than the header announces."""
    head = read(4)
    if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
        raise ValueError(f"{path} must begin with 0 0 8 k, k in 1..4: an idx file of bytes, got {head.hex(' ')}")
    sizes = read(4 * head[3])
    shape = [int.from_bytes(sizes[at : at + 4], "big") for at in range(0, len(sizes), 4)]
    if len(sizes) < 4 * head[3] or not 0 < prod(shape) <= LARGEST:
        raise ValueError(f"{path} must hold 1..{LARGEST} bytes on {head[3]} axes, got sizes {shape}")
    body = read(prod(shape) + 1)
    if len(body) != prod(shape):
        more = "more" if len(body) > prod(shape) else str(len(body))
        raise ValueError(f"{path} must hold {prod(shape)} bytes after its header, got {more}; copy it again")
    return shape, bytearray(head + sizes + body)


def _path(place: Path, split: str, kind: str) -> Path:
    """The file as it lies there: packed or not, spelled with a dash or a dot; the usual one where there is none."""
    names = [f"{SPLITS[split]}-{STEMS[kind].format(dash)}{end}" for dash in "-." for end in ("", ".gz")]
    return next((place / name for name in names if (place / name).is_file()), place / names[0])
