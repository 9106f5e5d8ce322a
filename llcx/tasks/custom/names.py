"""Names of the user's own objects, FILE.py:NAME or package.module:NAME: nothing else is imported."""

import importlib
import importlib.util
import sys
from functools import reduce
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any
from zlib import crc32

FORMS = "FILE.py:NAME or package.module:NAME"
LISTED = 20  # names that an error shows


class Names:
    """Resolves names; a file is run once, however many names are in it."""

    def __init__(self) -> None:
        self._files: dict[Path, ModuleType] = {}

    def __call__(self, key: str, text: str) -> Any:
        """The object that `text` names; ValueError, naming `key`, where there is none or its module fails."""
        place, name = split(key, text)
        module = self._file(key, text, place) if place.endswith(".py") else package(key, text, place)
        try:
            return reduce(getattr, name.split("."), module)
        except AttributeError as error:
            there = [each for each in vars(module) if not each.startswith("_")]
            listed = ", ".join(there[:LISTED]) + " and more" * (len(there) > LISTED)
            raise ValueError(f"{key} must name what {place} holds, got {name}; there are {listed or 'none'}") from error

    def _file(self, key: str, text: str, place: str) -> ModuleType:
        path = Path(place).expanduser().resolve()
        if path in self._files:
            return self._files[path]
        if not path.is_file():
            raise ValueError(f"{key} must name a file that exists, got {text}; {path} is not there")
        name = f"custom_{path.stem}_{crc32(str(path).encode()):08x}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None  # of a file that ends in .py
        module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look there
        searched(path.parent)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise failed(key, text, error) from error
        self._files[path] = module
        return module


def split(key: str, text: str) -> tuple[str, str]:
    """FILE.py:NAME -> (FILE.py, NAME); package.module.NAME will do for package.module:NAME."""
    place, colon, name = text.rpartition(":")
    if not colon and not text.endswith(".py"):
        place, _, name = text.rpartition(".")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{key} must be {FORMS}, got {text}")
    return place, name


def package(key: str, text: str, place: str) -> ModuleType:
    """An installed module, or one below the folder that the command was given in."""
    searched(Path.cwd())
    importlib.invalidate_caches()
    try:
        return importlib.import_module(place)
    except Exception as error:
        raise failed(key, text, error) from error


def searched(folder: Path) -> None:
    """Look for modules in `folder` too, after everywhere else: nothing there takes the place of what is installed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def failed(key: str, text: str, error: Exception) -> ValueError:
    """Why a module could not be imported, in one line: what was raised, and where."""
    if isinstance(error, ModuleNotFoundError) and error.name and text.startswith(error.name):
        return ValueError(f"{key} must be importable, got {text}: {error}; from here, or give FILE.py:NAME")
    last = extract_tb(error.__traceback__)[-1]
    at = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (last.filename, last.lineno)
    where = f"{Path(at[0] or '?').name}, line {at[1]}"
    return ValueError(f"{key} must be importable, got {text}: {type(error).__name__}: {error} ({where})")
