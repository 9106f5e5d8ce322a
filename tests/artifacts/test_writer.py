"""The run folder as it is written and read back."""

import os
import time
from collections.abc import Iterator
from math import nan
from pathlib import Path

import numpy as np
import pytest

from llcx import artifacts
from llcx.artifacts import rows, writer
from llcx.artifacts.files import write_json
from llcx.artifacts.rows import BESIDE
from llcx.types import Tables

ROW = {"task": "toy", "point": "a/b", "at.rank": 3, "sampler": "hmc", "where": "all", "target": "data", "seed": 0}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[artifacts.Writer]:
    with artifacts.Writer(tmp_path / "run", {"seed": 0}, {"schema": 1}) as folder:
        yield folder


def test_status_tells_how_it_ended(tmp_path: Path) -> None:
    ends = {"completed": None, "failed": ValueError("too\nbad"), "preempted": KeyboardInterrupt()}
    for state, error in ends.items():
        try:
            with artifacts.Writer(tmp_path / state, {}, {}) as folder:
                assert folder.status["state"] == "running"
                if error is not None:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert folder.status["state"] == state
    assert artifacts.load(tmp_path / "failed").status["error"] == "too bad"
    assert not list(tmp_path.glob("*/.lock"))


def test_a_running_status_without_a_writer_reads_as_killed(run: artifacts.Writer) -> None:
    assert artifacts.load(run.path).status["state"] == "running"
    (run.path / ".lock").rename(run.path / "elsewhere")
    assert artifacts.load(run.path).status["state"] == "killed"
    (run.path / "elsewhere").rename(run.path / ".lock")


def test_the_heart_beats_in_status_and_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BEAT", 0.01)
    with artifacts.Writer(tmp_path, {}, {}) as folder:
        os.utime(tmp_path / ".lock", (0, 0))
        folder.at(3, 7)
        deadline = time.monotonic() + 5
        while folder.status.get("done") != 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert folder.status["done"] == 3
        assert (tmp_path / ".lock").stat().st_mtime > 0


def test_rows_come_back_as_numbers_bit_for_bit(run: artifacts.Writer) -> None:
    run.add({**ROW, "llc": 0.1 + 0.2, "nbeta": 1e4, "n": 2**60, "healthy": True, "flags": (), "rhat": nan})
    run.add({**ROW, "point": "c", "at.class": "1k", "llc": 1 / 3, "healthy": False, "flags": ("rhat", "drift")})
    frame = run.frame()
    assert list(frame["llc"]) == [0.1 + 0.2, 1 / 3]
    assert list(frame["healthy"]) == [True, False]
    assert list(frame["flags"]) == ["", "rhat;drift"]
    assert frame["rhat"].isna().all()
    assert frame["n"][0] == 2**60 or frame["n"][0] == float(2**60)
    assert list(frame["at.class"]) == ["", "1k"]
    assert run.rows[0]["n"] == str(2**60)


def test_columns_are_all_there_in_the_order_of_the_contract(run: artifacts.Writer) -> None:
    run.add({**ROW, "known.other": 2.0})
    found = list(run.rows[0])
    assert found[:3] == ["task", "point", "at.rank"]
    assert found.index("known_from") + 1 == found.index("known.other") == found.index("rel_error") - 1
    assert found[found.index("stopped_by") :] == ["stopped_by", "healthy", "flags", *BESIDE]
    assert len(found) == len(set(found)) == 44 + len(BESIDE)


def test_a_row_of_the_same_key_takes_the_place_of_the_old(run: artifacts.Writer) -> None:
    run.add({**rows.failed(ROW, "no; luck", ""), "target": ""})
    run.add({**ROW, "point": "c", "llc": 1.0})
    assert run.rows[0]["flags"] == "failed: no, luck"
    assert not run.has("a/b", "hmc", "all")
    run.add({**ROW, "llc": 2.0})
    assert [(row["point"], row["llc"]) for row in run.rows] == [("a/b", "2.0"), ("c", "1.0")]
    assert run.has("a/b", "hmc", "all")
    assert not run.has("a/b", "sgld", "all")


def test_draws_lie_where_the_row_says(run: artifacts.Writer) -> None:
    run.add({**ROW, "llc": 1.0}, {"energy": np.arange(6.0).reshape(2, 3)})
    assert (run.path / artifacts.draws_path(run.rows[0])).exists()
    assert run.draws(run.rows[0])["energy"].shape == (2, 3)


def test_analyses_come_back_by_their_stem(run: artifacts.Writer) -> None:
    run.tables(Tables({"errors": [{"a": 1.5, "b": None}, {"a": 2, "c": "x"}]}, {"maps": {"m": np.eye(2)}}))
    assert run.analysis("errors") == [{"a": "1.5", "b": "", "c": ""}, {"a": "2", "b": "", "c": "x"}]
    assert run.analysis("maps")["m"].shape == (2, 2)
    with pytest.raises(FileNotFoundError, match="errors, maps, got nope"):
        run.analysis("nope")


def test_stages_add_up_over_sessions(tmp_path: Path) -> None:
    for _ in range(2):
        with artifacts.Writer(tmp_path, {}, {"command": "x"}, resume=True) as folder, folder.stage("measure"):
            folder.spend("measure", gradients=5)
    info = folder.run_info
    assert info["stages"]["measure"]["gradients"] == 10
    assert len(info["sessions"]) == 2
    most = info["peak_memory_gib"]
    write_json(tmp_path / "run_info.json", {**info, "peak_memory_gib": most + 7})
    with artifacts.Writer(tmp_path, {}, {"command": "x"}, resume=True) as folder, folder.stage("measure"):
        pass
    assert folder.run_info["peak_memory_gib"] == most + 7  # of a session before


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold status\.json"):
        artifacts.load(tmp_path)


def test_what_may_change_on_resume_is_not_a_difference(tmp_path: Path) -> None:
    there = {"seed": 0, "run": {"resume": None, "stages": ["train"], "strict": False}, "task": {"grid": {}}}
    writer.refuse_differences({**there, "run": {"resume": "x", "stages": [], "strict": False}}, there, tmp_path)
    with pytest.raises(ValueError, match=r"run\.strict must be False .* got True"):
        writer.refuse_differences({**there, "run": {"strict": True}}, there, tmp_path)
    with pytest.raises(ValueError, match=r"task\.grid\.a must be absent .* got 1"):
        writer.refuse_differences({**there, "task": {"grid": {"a": 1}}}, there, tmp_path)
