"""Tiny data sets in the true formats: idx files, and CIFAR-10's binary and python versions."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

IDX = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
CIFAR = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


def drawn(*shape: int, seed: int = 0, below: int = 256) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def idx_bytes(array: Tensor) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.numpy().tobytes()


def write_idx(folder: Path, train: int = 6, test: int = 4, side: int = 5, *, packed: bool = False) -> dict[str, Tensor]:
    """The four files of a set, and what is in them by `split kind`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for seed, ((split, kind), name) in enumerate(IDX.items()):
        n = train if split == "train" else test
        array = drawn(n, side, side, seed=seed) if kind == "images" else drawn(n, seed=seed, below=10)
        content = idx_bytes(array)
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
        found[f"{split} {kind}"] = array
    return found


def cifar_rows(images: Tensor, labels: Tensor) -> bytes:
    return b"".join(bytes([int(label)]) + image.numpy().tobytes() for label, image in zip(labels, images, strict=True))


def cifar_files(rows: int = 2) -> tuple[dict[str, bytes], Tensor, Tensor]:
    """The six files, their images [6 rows, 3, 32, 32] and labels."""
    images, labels = drawn(6 * rows, 3, 32, 32, seed=7), drawn(6 * rows, seed=8, below=10)
    parts = zip(CIFAR, images.split(rows), labels.split(rows), strict=True)
    return {name: cifar_rows(*part) for name, *part in parts}, images, labels


def archive(path: Path, members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    """A packed archive of plain files, or of members as they are given."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def photograph(path: Path, height: int, width: int, number: int) -> None:
    """Red and green tell the column, blue the row: (column, row, number) is written in every pixel."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns % 256, columns // 256 + 4 * number, rows], -1).astype(np.uint8)
    Image.fromarray(pixels).save(path)
