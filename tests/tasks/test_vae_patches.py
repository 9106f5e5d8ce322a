"""Windows of photographs: none for testing shares a pixel with one for training."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from llcx.tasks.vae import patches
from tests.tasks.image_files import photograph

SIZES = {"one.png": (40, 300), "two.png": (33, 90)}


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two of them, each pixel different from all others."""
    monkeypatch.setattr(patches, "PHOTOS", tuple(SIZES))
    for number, (name, size) in enumerate(SIZES.items()):
        photograph(tmp_path / name, *size, number)
    return tmp_path


def places(windows: Tensor) -> Tensor:
    """(photograph, row, column) of each pixel, as it tells itself."""
    red, green, blue = (255 * windows).round().long().unbind(1)
    return torch.stack([green // 4, blue, red + 256 * (green % 4)], -1)


@pytest.mark.parametrize("side", [5, 8, 30])
def test_no_pixel_is_in_both_splits(photographs: Path, side: int) -> None:
    windows = patches.load(photographs, side, 3)
    seen = {split: places(found).reshape(-1, 3).unique(dim=0) for split, found in windows.items()}
    assert len(torch.cat([*seen.values()]).unique(dim=0)) == len(seen["train"]) + len(seen["test"])
    for number, (height, width) in enumerate(SIZES.values()):
        mine = {split: found[found[:, 0] == number] for split, found in seen.items()}
        assert mine["train"][:, 2].max() < mine["test"][:, 2].min() == width - max(width // 5, side)
        assert mine["train"][:, 1].max() < height


@pytest.mark.parametrize("side", [5, 8])
def test_a_window_is_a_square_of_neighbours_and_starts_every_half_side(photographs: Path, side: int) -> None:
    windows = patches.load(photographs, side, 3)
    for at in map(places, windows.values()):
        _, row, column = at.unbind(-1)
        offsets = torch.arange(side)
        assert torch.equal(row - row[:, :1, :1], offsets[:, None].expand(len(at), side, side))
        assert torch.equal(column - column[:, :1, :1], offsets.expand(len(at), side, side))
        assert (row[:, 0, 0] % (side // 2) == 0).all()
        assert len(at[:, 0, 0].unique(dim=0)) == len(at)
    within = [
        ((h - side) // (side // 2) + 1) * ((w - max(w // 5, side) - side) // (side // 2) + 1) for h, w in SIZES.values()
    ]
    assert len(windows["train"]) == sum(within)


def test_one_channel_is_the_luma(photographs: Path) -> None:
    colour, grey = (patches.load(photographs, 8, channels)["test"] for channels in (3, 1))
    weights = torch.tensor([0.299, 0.587, 0.114])
    assert grey.shape == (len(colour), 1, 8, 8) and 0 <= grey.min() <= grey.max() <= 1
    assert torch.allclose(grey[:, 0], (colour * weights[:, None, None]).sum(1), atol=1e-6)


def test_a_photograph_too_small_for_a_window_gives_none(photographs: Path) -> None:
    windows = patches.load(photographs, 36, 3)  # the second has 33 rows
    assert places(windows["train"])[..., 0].unique().tolist() == [0]
    with pytest.raises(ValueError, match=r"task.data.side must leave room for windows in the photographs, got 41"):
        patches.load(photographs, 41, 3)


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n no more"])
def test_a_missing_or_damaged_photograph_is_named(photographs: Path, content: bytes | None) -> None:
    path = photographs / "two.png"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"two.png must be a photograph of scikit-image, got .*install it again"
    ) as told:
        patches.load(photographs, 8, 3)
    assert "\n" not in str(told.value)


def test_a_truncated_photograph_is_named(photographs: Path) -> None:
    path = photographs / "one.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"one.png must be a photograph"):
        patches.load(photographs, 8, 3)


def test_what_is_not_installed_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match=r"needs the photographs of scikit-image.*pip install 'llcx\[images\]'"
    ):
        patches.folder()


def test_the_real_photographs_are_those_of_the_docs() -> None:
    windows = patches.load(patches.folder(), 32, 1)
    assert {split: len(found) for split, found in windows.items()} == {"train": 6993, "test": 1520}
    assert 0.05 < windows["train"].var(0).mean() < 0.09
