"""CIFAR-10's binary version is read from its archive or folder; nothing is unpacked, and no pickle is opened."""

import gzip
import pickle
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from llcx.tasks.vae import cifar
from tests.tasks.image_files import CIFAR, archive, cifar_files

DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def members(**more: Any) -> dict[str, Any]:
    files, _, _ = cifar_files()
    return {**{f"{cifar.FOLDER}/{name}": content for name, content in files.items()}, **more}


def packed(tmp_path: Path, **more: Any) -> Path:
    return archive(tmp_path / cifar.ARCHIVE, members(**more))


def link(name: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def check(found: dict[str, cifar.Part]) -> None:
    _, images, labels = cifar_files()
    for split, rows in (("train", slice(10)), ("test", slice(10, 12))):
        assert torch.equal(found[split].images, images[rows])
        assert torch.equal(found[split].labels, labels[rows].long())


def test_a_row_is_a_label_and_three_planes(tmp_path: Path) -> None:
    row = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1023 + bytes([9]) + bytes([3]) + bytes([4]) * 1023
    files = dict.fromkeys(members(), row)
    part = cifar.load(archive(tmp_path / cifar.ARCHIVE, files))["test"]
    image = part.images[0].long()
    assert part.labels.tolist() == [7] and image.shape == (3, 32, 32)
    assert image.amin((1, 2)).tolist() == [1, 2, 3] and image.amax((1, 2)).tolist() == [1, 9, 4]
    assert image[1, 31, 31] == 9 and image[2, 0, 0] == 3


def test_archive_and_folder_hold_the_same(tmp_path: Path) -> None:
    path = packed(tmp_path)
    assert cifar.find(tmp_path) == path == cifar.find(path)
    check(cifar.load(path))
    (tmp_path / cifar.FOLDER).mkdir()
    for name, content in cifar_files()[0].items():
        (tmp_path / cifar.FOLDER / name).write_bytes(content)
    assert cifar.find(tmp_path) == tmp_path / cifar.FOLDER == cifar.find(tmp_path / cifar.FOLDER)
    check(cifar.load(tmp_path / cifar.FOLDER))


def test_what_else_an_archive_holds_is_passed_over_and_nothing_is_written(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    evil = {"../evil.bin": b"x", "/tmp/../evil.bin": b"x", f"../{cifar.FOLDER}/data_batch_1.bin": b"x"}
    path = packed(inside, **evil, **{"readme.html": b"x", "escape": link("escape")})
    check(cifar.load(path))
    assert sorted(found.name for found in tmp_path.rglob("*")) == [cifar.ARCHIVE, "inside"]


def test_only_names_differ_by_a_leading_dot(tmp_path: Path) -> None:
    path = archive(tmp_path / cifar.ARCHIVE, {f"./{name}": content for name, content in members().items()})
    check(cifar.load(path))
    outside = {f"../{name}": content for name, content in members().items()}
    with pytest.raises(ValueError, match=r"got no data_batch_1.bin, .*test_batch.bin"):
        cifar.load(archive(path, outside))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (link(f"{cifar.FOLDER}/data_batch_2.bin"), "once, as a plain file, got a link or a device"),
        (link(f"{cifar.FOLDER}/data_batch_2.bin", tarfile.LNKTYPE), "got a link or a device"),
        (link(f"{cifar.FOLDER}/data_batch_2.bin", tarfile.CHRTYPE), "got a link or a device"),
        (b"", "rows of 3073 bytes, got 0 bytes"),
        (b"\0" * 3072, "got 3072 bytes"),
        (b"\x0a" + b"\0" * 3072, "labels in 0..9, got 10"),
        (b"\0" * 3073 * 4, "must hold 1..3 rows of 3073 bytes, got 9220 bytes"),
    ],
    ids=["symlink", "hardlink", "device", "empty", "cut", "label", "long"],
)
def test_a_member_that_is_no_file_of_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, told: str
) -> None:
    monkeypatch.setattr(cifar, "LARGEST", 3)
    with pytest.raises(ValueError, match=told) as refused:
        cifar.load(packed(tmp_path, **{f"{cifar.FOLDER}/data_batch_2.bin": content}))
    assert "data_batch_2.bin" in str(refused.value) and "\n" not in str(refused.value)


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, **{f"./{cifar.FOLDER}/test_batch.bin": cifar_files()[0]["data_batch_1.bin"]})
    with pytest.raises(ValueError, match=r"test_batch.bin once, as a plain file, got it twice"):
        cifar.load(path)


@pytest.mark.parametrize("keep", [0, 100, -40, -3000])
def test_a_truncated_archive_is_refused(tmp_path: Path, keep: int) -> None:
    path = packed(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"must be readable, got .*; copy it again") as refused:
        cifar.load(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name, content in list(cifar_files()[0].items())[:-1]:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"got no test_batch.bin"):
        cifar.load(tmp_path)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.95])
def test_a_flipped_bit_is_found(tmp_path: Path, at: float) -> None:
    """Random pixels are packed as they are, so that the archive stays one; its checksum tells."""
    path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"must be readable, got .*; copy it again"):
        cifar.load(path)


def test_an_archive_need_not_be_packed(tmp_path: Path) -> None:
    path = packed(tmp_path)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    check(cifar.load(path))


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1"])
def test_the_python_version_is_refused_unread(tmp_path: Path, name: str) -> None:
    bomb, exploded = pickle.dumps(Bomb(tmp_path / "exploded")), tmp_path / "exploded"
    place = tmp_path / "place"
    (place / "cifar-10-batches-py").mkdir(parents=True) if name.endswith("-py") else place.mkdir()
    (place / name / "data_batch_1" if name.endswith("-py") else place / name).write_bytes(bomb)
    for where in (place, place / name):
        assert cifar.find(where) is None
        with pytest.raises(ValueError, match=r"got the python one.*convert.*docs/data.md") as refused:
            cifar.refuse_pickles(where)
        assert "\n" not in str(refused.value)
    assert not exploded.exists()
    pickle.loads(bomb)
    assert exploded.exists()  # it was live


def test_no_pickle_is_seen_where_there_is_none(tmp_path: Path) -> None:
    cifar.refuse_pickles(packed(tmp_path))
    cifar.refuse_pickles(tmp_path)


def test_the_command_of_the_docs_converts_the_python_version(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    assert code is not None
    _, images, labels = cifar_files()
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, image, label in zip(CIFAR, images.split(2), labels.split(2), strict=True):
        batch = {b"data": image.flatten(1).numpy(), b"labels": label.tolist(), b"batch_label": b"of tests"}
        (folder / name.removesuffix(".bin")).write_bytes(pickle.dumps(batch))
    subprocess.run([sys.executable, "-c", code[1]], cwd=folder, check=True)
    assert cifar.find(tmp_path) == tmp_path / cifar.FOLDER
    check(cifar.load(tmp_path / cifar.FOLDER))
