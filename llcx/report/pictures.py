"""The figures of a folder, inlined in reading order."""

import base64
from pathlib import Path
from typing import NamedTuple

from llcx.report.captions import CAPTIONS

DOTS, SHOWN = 150, 100  # an inch of the files, and CSS pixels an inch that they are shown at


class Picture(NamedTuple):
    """A PNG with its size in CSS pixels."""

    name: str
    caption: str
    width: int
    height: int
    data: str  # base64


def pictures(path: Path) -> list[Picture]:
    """Every PNG of the folder: the known ones in reading order, then the others by name."""
    found = {file.name: file.read_bytes() for file in sorted(path.glob("*.png"))}
    names = [name for name in CAPTIONS if name in found] + [name for name in found if name not in CAPTIONS]
    return [picture(name, found[name]) for name in names]


def picture(name: str, content: bytes) -> Picture:
    """The size stands in a PNG's head, at bytes 16 to 24."""
    width, height = (int.from_bytes(content[at : at + 4], "big") * SHOWN // DOTS for at in (16, 20))
    return Picture(name, CAPTIONS.get(name, ""), width, height, base64.b64encode(content).decode())
