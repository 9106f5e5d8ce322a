"""The picture of a trajectory's frame: what is in it, what is marked, what is told."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from llcx import along
from llcx.figures import frames
from tests.figures.look import apart, dots, hollow, notes


def frame(**changes: list[Any]) -> pd.DataFrame:
    """Five checkpoints, of which the third rises and the fifth is flagged and falls."""
    llc = [1.0, 1.1, 4.0, 4.1, 2.0]
    told: dict[str, list[Any]] = {
        "checkpoint": [f"step-{k}" for k in range(5)],
        "step": [0, 10, 20, 30, 40],
        "where": ["all"] * 5,
        "llc": llc,
        "low": [value - 0.2 for value in llc],
        "high": [value + 0.2 for value in llc],
        "healthy": [True] * 4 + [False],
        "flags": [""] * 4 + ["imprecise"],
        "change": [float("nan"), 0.1, 2.9, 0.1, -2.1],
        "changed": [False, False, True, False, True],
        "loss_at": [2.0, 1.0, 0.3, 0.1, 0.05],
        "target": ["self"] * 5,
        **{"nbeta": [67.0] * 5, "gamma": [1.5] * 5, "n": [400] * 5, "chains": [8] * 5},
        **changes,
    }
    return pd.DataFrame(told).reindex(columns=list(along.COLUMNS))


def words(picture: Figure) -> str:
    legends = [entry.get_text() for legend in picture.legends for entry in legend.get_texts()]
    return " ".join([*legends, *(text.get_text() for text in picture.texts)])


def test_estimates_losses_and_changes_are_drawn() -> None:
    picture = frames.figure(frame())
    assert len(picture.axes) == 2
    said = words(picture)
    assert "all, flagged" in said
    assert "change, up change, down, one of the two flagged" in said
    assert "target self, n\u03b2 67, \u03b3 1.5, n 400, chains 8." in notes(picture)
    assert [x for x, _ in dots(picture.axes[0], "change, up")] == [20]
    assert hollow(picture.axes[0]) == 2  # the flagged estimate, and the change to it
    assert apart(picture)


def test_without_a_loss_there_is_one_panel_and_without_a_number_a_reason() -> None:
    nan = float("nan")
    assert len(frames.figure(frame(loss_at=[nan] * 5)).axes) == 1
    lost = frame(llc=[nan, 1.1, 4.0, 4.1, 2.0], flags=["failed: the weights are not finite", *[""] * 4])
    assert "Without a number: step-0 (failed: the weights are not finite)" in notes(frames.figure(lost))
    assert "No checkpoint has a number." in frames.figure(frame(llc=[nan] * 5)).axes[0].texts[0].get_text()


def test_places_have_colours_of_their_own() -> None:
    both = pd.concat([frame(), frame(where=["0.*"] * 5)])
    assert "0.*" in words(frames.figure(both))


def test_it_is_written(tmp_path: Path) -> None:
    path = frames.draw(frame(), tmp_path / "a.png", title="my training")
    assert path.read_bytes()[:4] == b"\x89PNG"
