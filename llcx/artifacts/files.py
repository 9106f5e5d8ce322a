"""Files that are whole or absent: written under a temporary name, synced, then put in place."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]

from llcx.types import Tables

Row = dict[str, Any]


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: a reader, or a crash, finds the old file or the new one.

    An OSError, as where the disk is full, names the file, and leaves nothing half written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove(path: Path) -> None:
    """Take a file away, where there is one."""
    path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    replace(path, (json.dumps(content, indent=1, default=str) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The file's content; empty where there is none."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    replace(path, yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True).encode())


def read_yaml(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def cell(value: Any) -> str:
    """A value as a CSV cell: numbers round-trip, unknown (None, nan) is empty, several are joined by `;`."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or value != value:
        return ""
    if isinstance(value, (tuple, list)):
        return ";".join(map(str, value))
    return repr(value) if isinstance(value, float) else str(value)


def csv_lines(columns: Iterable[str], rows: Iterable[Mapping[str, Any]], header: bool = True) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
    return out.getvalue().encode()


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows as they stand in the file; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Numeric arrays as npz; an array of objects, which only pickle could hold, is refused."""
    found = {key: np.asarray(value) for key, value in arrays.items()}
    for key, value in found.items():
        if value.dtype.hasobject:
            raise ValueError(f"{path.name}: {key} must be numbers or text, got an array of objects")
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **found)
    replace(path, out.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def slug(name: str) -> str:
    """`name` as a file name, different for different names: what it cannot hold becomes `_`, with a hash at the end."""
    plain = re.sub(r"[^A-Za-z0-9._=+,-]", "_", name)[:80].lstrip(".") or "_"
    return plain if plain == name and "--" not in name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_tables(path: Path, found: Tables) -> list[Path]:
    """<stem>.csv, <stem>.npz and <stem>.json below `path`; returns them."""
    tables, arrays, documents = (
        {path / f"{slug(stem)}.{kind}": stem for stem in of}
        for of, kind in ((found.tables, "csv"), (found.arrays, "npz"), (found.documents, "json"))
    )
    for file, stem in tables.items():
        rows = found.tables[stem]
        replace(file, csv_lines(dict.fromkeys(key for row in rows for key in row), rows))
    for file, stem in arrays.items():
        values = found.arrays[stem]
        write_arrays(file, values if isinstance(values, Mapping) else {"values": values})
    for file, stem in documents.items():
        write_json(file, found.documents[stem])
    return [*tables, *arrays, *documents]
