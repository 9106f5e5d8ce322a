"""Windows of seven photographs that come with scikit-image.

Windows are taken every half side, so that neighbours overlap; those for testing lie in the last fifth of each
photograph's columns, those for training left of it, so that no pixel is in both. Files are read where scikit-image is
installed: its own functions might download them.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from llcx.tasks.vae.spectra import LUMA

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "ihc.png",
)
HELD_OUT = 5  # the last one in so many columns is for testing


def folder() -> Path:
    """Where scikit-image's photographs lie. Raises ModuleNotFoundError where it is not installed."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "task.data.source=patches needs the photographs of scikit-image, which is not installed; "
            "pip install 'llcx[images]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def load(place: Path, side: int, channels: int) -> dict[str, Float[Tensor, "n c h w"]]:
    """All windows of the photographs in `place` in [0, 1], by split; one channel is their luma.

    Raises ValueError where a photograph is missing or unreadable, or too small for a window of either split.
    """
    found: dict[str, list[Tensor]] = {"train": [], "test": []}
    for name in PHOTOS:
        image = _seen(_photograph(place / name), channels)
        for split, columns in _columns(image.shape[-1], side).items():
            found[split].append(_windows(image[:, :, columns], side))
    pools = {split: torch.cat(windows) for split, windows in found.items()}
    if not all(len(windows) for windows in pools.values()):
        raise ValueError(
            f"task.data.side must leave room for windows in the photographs, got {side}; choose 128 at most"
        )
    return pools


def _columns(width: int, side: int) -> dict[str, slice]:
    """The columns of each split: enough for a window in what is held out."""
    cut = max(0, width - max(width // HELD_OUT, side))
    return {"train": slice(cut), "test": slice(cut, width)}


def _windows(image: Float[Tensor, "c h w"], side: int) -> Float[Tensor, "n c side side"]:
    if min(image.shape[1:]) < side:
        return image.new_empty(0, len(image), side, side)
    step = max(1, side // 2)
    cut = image.unfold(1, side, step).unfold(2, side, step)
    return cut.permute(1, 2, 0, 3, 4).reshape(-1, len(image), side, side)


def _photograph(path: Path) -> UInt8[Tensor, "h w 3"]:
    from PIL import Image  # of scikit-image's own dependencies

    try:
        with Image.open(path) as opened:
            return torch.from_numpy(np.array(opened.convert("RGB")))
    except OSError as error:
        raise ValueError(f"{path} must be a photograph of scikit-image, got {error}; install it again") from error


def _seen(photograph: UInt8[Tensor, "h w 3"], channels: int) -> Float[Tensor, "c h w"]:
    image = photograph.permute(2, 0, 1).float() / 255
    return image if channels == 3 else torch.einsum("chw,c->hw", image, image.new_tensor(LUMA)).unsqueeze(0)
