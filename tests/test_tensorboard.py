"""Event files of a run: what was measured, once, whatever was written before a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llcx import tensorboard
from llcx.tensorboard import Board, marks, plain, traces
from tests.figures.run_folder import Net, draws, row

NET = Net("net=0", 4.0, known=4.0, draws=600)
CELLS = row(0, NET, "dln")


MISSING = "the extra tensorboard is not installed"


def events(folder: Path) -> Any:
    """What TensorBoard reads in a folder; skips the test without the extra."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=MISSING)
    return reader.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value)."""
    found = events(folder)
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    pytest.importorskip("torch.utils.tensorboard", reason=MISSING)
    return Board(tmp_path)


def losses(*steps: int, scale: float = 1.0) -> list[dict[str, Any]]:
    """Rows of metrics.csv."""
    return [
        {"training": "a", "step": step, "time": 0.5 * step, "split": split, "name": "loss", "value": scale * step}
        for step in steps
        for split in ("train", "test")
    ]


def grow_old(folder: Path) -> None:
    """As if its one file were of seconds ago: files are read in the order of their names, which begin with the time."""
    (file,) = folder.iterdir()
    file.rename(folder / "events.out.tfevents.0000000001.host.1.0")


def test_metrics_are_scalars_by_step_a_folder_for_each_training(board: Board, tmp_path: Path) -> None:
    board.metrics("a", losses(1, 2))
    board.metrics("a", losses(3))
    board.metrics("b", losses(7))
    assert scalars(tmp_path / "train" / "a") == {
        f"{split}/loss": [(1, 1), (2, 2), (3, 3)] for split in ("train", "test")
    }
    board.close()
    assert scalars(tmp_path / "train" / "b")["train/loss"] == [(7, 7)]
    assert len(list((tmp_path / "train" / "a").iterdir())) == 1


def test_what_a_killed_training_had_written_too_far_is_taken_back(board: Board, tmp_path: Path) -> None:
    board.metrics("a", losses(1, 2, 3, 4, scale=-1.0))
    board.close()
    grow_old(tmp_path / "train" / "a")
    board.metrics("a", losses(3, 4, 5))
    board.close()
    assert scalars(tmp_path / "train" / "a")["train/loss"] == [(1, -1), (2, -2), (3, 3), (4, 4), (5, 5)]


def test_a_measurement_has_traces_that_end_in_its_estimate(board: Board, tmp_path: Path) -> None:
    arrays = draws(NET, 0)
    board.measurement("net", CELLS, {**arrays, "energy": -arrays["energy"]})
    grow_old(tmp_path / "measure" / "net")
    board.measurement("net", CELLS, arrays)
    found = scalars(tmp_path / "measure" / "net")
    assert found["sample/lambda_hat"][-1] == (600, pytest.approx(CELLS["llc"]))
    assert found["sample/energy"][0] == (1, pytest.approx(arrays["energy"][:, 0].mean()))
    assert found["sample/energy_highest_chain"][-1][1] == pytest.approx(arrays["energy"][:, -1].max())
    assert [step for step, _ in found["warmup/energy"]] == list(range(1, 61))
    assert len(found["sample/energy"]) == tensorboard.MARKS
    assert found["summary/llc"] == [(0, pytest.approx(CELLS["llc"]))]
    assert found["summary/healthy"] == [(0, 1.0)]
    assert "summary/rel_error_at" not in found  # unknown


def test_settings_and_results_of_a_measurement_are_hparams(board: Board, tmp_path: Path) -> None:
    board.measurement("net", CELLS, draws(NET, 0))
    found = events(tmp_path / "measure" / "net").SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    form = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2", reason=MISSING)
    start = form.HParamsPluginData.FromString(found).session_start_info.hparams
    assert start["sampler"].string_value == "auto"
    assert start["nbeta"].number_value == NET.nbeta
    assert start["at.class"].string_value == "1k"


def test_marks_hold_both_ends_and_no_more_than_there_are() -> None:
    assert marks(3) == [0, 1, 2]
    assert marks(1) == [0]
    assert (marks(10_000)[0], marks(10_000)[-1], len(marks(10_000))) == (0, 9999, tensorboard.MARKS)


def test_one_chain_has_no_spread() -> None:
    arrays = {"energy": np.ones((1, 4)), "distance": np.ones((1, 4)), "warmup": np.ones((1, 2))}
    assert [tag for tag, _ in traces(arrays)] == "sample/lambda_hat sample/energy sample/distance warmup/energy".split()


def test_unknown_cells_are_left_out() -> None:
    cells = {"llc": np.float64(1.5), "se": float("nan"), "gamma": None, "chains": 4, "flags": ("rhat",)}
    assert plain(cells, list(cells)) == {"llc": 1.5, "chains": 4}


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"log\.tensorboard must be false without the extra tensorboard, got true; pip"
    ):
        tensorboard.require()
