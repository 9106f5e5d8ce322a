"""Files of a run folder: whole or absent, and numbers that round-trip."""

import errno
import os
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llcx.artifacts import files


@given(st.floats(allow_nan=True))
def test_floats_round_trip_through_a_cell(value: float) -> None:
    for found in (value, np.float64(value), torch.tensor(value, dtype=torch.float64)):
        assert files.cell(found) == "" if isnan(value) else float(files.cell(found)) == value


@given(st.text(), st.text())
def test_different_names_have_different_file_names(a: str, b: str) -> None:
    assert (files.slug(a) == files.slug(b)) == (a == b)
    assert len(files.slug(a).encode()) < 120
    assert "/" not in files.slug(a)
    assert not files.slug(a).startswith(".")


def test_plain_names_stay_readable_in_file_names() -> None:
    assert files.slug("layers=2,net=7") == "layers=2,net=7"


def test_a_file_is_whole_or_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    files.replace(path, b"before")

    def crash(*args: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match=r"full.*table\.csv"):
        files.replace(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path], "nothing half written"


def test_arrays_that_only_pickle_could_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="objects"):
        files.write_arrays(tmp_path / "x.npz", {"bad": np.array([{}], dtype=object)})
    assert not (tmp_path / "x.npz").exists()


def test_reading_arrays_executes_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", bad=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        files.read_arrays(tmp_path / "x.npz")
