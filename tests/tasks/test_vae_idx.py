"""idx files are read to the byte, or refused in one line that names the file."""

import gzip
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from llcx.tasks.vae import idx
from tests.tasks.image_files import IDX, drawn, idx_bytes, write_idx

TWELVE = b"\0\0\x08\x03" + b"\0\0\0\x02" + b"\0\0\0\x02" + b"\0\0\0\x03" + bytes(range(12))
PACKED = gzip.compress(TWELVE, mtime=0)


@pytest.mark.parametrize("content", [TWELVE, PACKED], ids=["plain", "packed"])
def test_an_array_is_read_as_its_header_says(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "array"  # packed or not is seen in the file, not in its name
    path.write_bytes(content)
    array, digest = idx.read(path)
    assert torch.equal(array, torch.arange(12, dtype=torch.uint8).reshape(2, 2, 3))
    assert digest == sha256(TWELVE).hexdigest()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "must begin with 0 0 8 k"),
        (b"\0\0\x0c\x03" + TWELVE[4:], "got 00 00 0c 03"),
        (b"\x80\x03" + TWELVE[2:], "must begin with 0 0 8 k"),  # the first bytes of a pickle
        (b"\0\0\x08\x00" + TWELVE[4:], "k in 1..4"),
        (b"\0\0\x08\x05" + TWELVE[4:], "k in 1..4"),
        (TWELVE[:11], "on 3 axes, got sizes"),
        (TWELVE[:7] + b"\0" + TWELVE[8:], r"got sizes \[0, 2, 3\]"),
        (TWELVE[:4] + b"\xff" * 12, r"must hold 1..1073741824 bytes"),
        (TWELVE[:-1], "must hold 12 bytes after its header, got 11"),
        (TWELVE + b"\0", "must hold 12 bytes after its header, got more"),
        (PACKED[:-9], "EOFError"),
        (PACKED[:-6] + bytes([PACKED[-6] ^ 1]) + PACKED[-5:], "CRC"),
        (PACKED[:12] + b"\xff\xff" + PACKED[14:], "readable idx file"),
    ],
    ids=lambda value: value.hex()[:8] + f"-{len(value)}" if isinstance(value, bytes) else None,
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "array"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told) as refused:
        idx.read(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("packed", [False, True])
def test_a_set_has_two_halves_of_images_and_labels(tmp_path: Path, packed: bool) -> None:
    assert not idx.found(tmp_path)
    files = write_idx(tmp_path, packed=packed)
    assert idx.found(tmp_path)
    for split, n in (("train", 6), ("test", 4)):
        part = idx.load(tmp_path, split, "mnist")
        assert part.images.shape == (n, 1, 5, 5) and not part.published
        assert torch.equal(part.images[:, 0], files[f"{split} images"])
        assert torch.equal(part.labels, files[f"{split} labels"].long())


def test_a_dot_in_the_name_is_a_dash(tmp_path: Path) -> None:
    files = write_idx(tmp_path)
    for name in IDX.values():
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert torch.equal(idx.load(tmp_path, "test", "mnist").images[:, 0], files["test images"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / IDX["test", "labels"]).unlink()
    assert idx.load(tmp_path, "train", "mnist")
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte must be a readable idx file, got FileNotFoundError"):
        idx.load(tmp_path, "test", "mnist")


@pytest.mark.parametrize(
    ("kind", "shape", "told"),
    [
        ("labels", (5,), "as many labels as images in train, got 6 images and 5 labels"),
        ("labels", (6, 1), "array of 1 axes, got 2"),
        ("images", (6, 25), "array of 3 axes, got 2"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, kind: str, shape: tuple[int, ...], told: str
) -> None:
    write_idx(tmp_path)
    (tmp_path / IDX["train", kind]).write_bytes(idx_bytes(drawn(*shape)))
    with pytest.raises(ValueError, match=told):
        idx.load(tmp_path, "train", "mnist")


def test_a_published_file_is_known_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_idx(tmp_path, packed=True)
    known = {sha256(idx_bytes(array)).hexdigest(): f"{which} of mnist" for which, array in files.items()}
    monkeypatch.setattr(idx, "PUBLISHED", known)
    assert idx.load(tmp_path, "train", "mnist").published and idx.load(tmp_path, "test", "mnist").published
    with pytest.raises(ValueError, match=r"must be train images of fashion_mnist, got train images of mnist"):
        idx.load(tmp_path, "train", "fashion_mnist")
    name = f"{IDX['train', 'images']}.gz"
    (tmp_path / name).replace(tmp_path / name.replace("train", "t10k"))
    with pytest.raises(ValueError, match=r"must be test images of mnist, got train images of mnist"):
        idx.load(tmp_path, "test", "mnist")


def test_all_files_of_both_published_sets_are_known() -> None:
    names = {f"{split} {kind} of {name}" for split, kind in IDX for name in ("mnist", "fashion_mnist")}
    assert set(idx.PUBLISHED.values()) == names and len(idx.PUBLISHED) == 8
    assert all(len(bytes.fromhex(digest)) == 32 for digest in idx.PUBLISHED)
