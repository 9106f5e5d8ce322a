"""Results by the fingerprint of what they were made from: `FOLDER/<sha256>.pt`, a state each."""

from pathlib import Path
from typing import Any

from llcx.artifacts import states
from llcx.types import State


class Cache:
    """A folder of results; several processes may share it."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"cache must be a folder, got the file {folder}")

    def get(self, key: str) -> State | None:
        """What was put under the key; None where there is nothing, or a damaged file."""
        try:
            return states.load(self.folder / f"{key}.pt")
        except ValueError:
            return None

    def put(self, key: str, state: dict[str, Any]) -> None:
        states.save(self.folder / f"{key}.pt", state)
