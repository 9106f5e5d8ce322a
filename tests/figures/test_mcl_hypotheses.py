"""mcl_hypotheses.png: a line a comparison, its verdict in words, and why something was not tested."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import write_json
from llcx.figures import mcl_hypotheses
from llcx.figures.mcl_study import Study
from tests.figures import mcl_folder
from tests.figures.look import dots, hollow, notes
from tests.figures.mcl_folder import Made

TIMES = "log ratio, above 0 where it takes less"
Part = dict[str, Any]


def part(name: str, verdict: str, role: str = "primary", **more: Any) -> Part:
    told = {"name": name, "role": role, "treated": "full", "control": "b0", "verdict": verdict, "sesoi": 0.02}
    return {**told, "note": "", "mean": 0.03, "low": 0.01, "high": 0.05, "seeds": 2, **more}


def steps(name: str, verdict: str) -> Part:
    return part(name, verdict, sesoi=0.10536051565782628, mean=0.2, low=0.15, high=0.25)


def hypothesis(name: str, verdict: str, *parts: Part, variant: str = "", notes: tuple[str, ...] = ()) -> Part:
    told = {"variant": variant, "name": name, "claim": "is better", "verdict": verdict}
    return {**told, "parts": list(parts), "notes": list(notes)}


def drawn(path: Path, *hypotheses: Part) -> Figure:
    """Of a folder that has nothing but verdicts, as one of several runs together."""
    told = {"registered": {"saved": 0.1}, "runs": {"b0": 2, "full": 2}, "hypotheses": list(hypotheses)}
    write_json(path / "analysis" / "hypotheses.json", told)
    found = mcl_hypotheses.figure(Study(RunFolder(path)))
    assert found is not None
    return found


def words(figure: Figure) -> list[tuple[str, str]]:
    """Every word beside a panel, and its weight."""
    return [(text.get_text(), str(text.get_fontweight())) for axis in figure.axes for text in axis.texts]


def test_every_comparison_has_a_line_and_a_verdict_in_words(tmp_path: Path) -> None:
    other = part("iou", "REJECTED", "attribution", control="b1", mean=0.004, low=-0.001, high=0.0091)
    figure = drawn(tmp_path, hypothesis("H1", "SUPPORTED", part("iou", "SUPPORTED"), part("exact", "SUPPORTED"), other))
    found = words(figure)
    lines = [word for word, _ in found if word in ("iou", "exact")]
    assert lines == ["iou", "iou", "exact"]  # of one question one after the other
    assert sum(word == "SUPPORTED" for word, _ in found) == 3
    assert ("full against b0", "bold") in found
    assert ("full against b1", "normal") in found
    assert ("0.0040 [\u22120.0010, 0.0091]", "normal") not in found  # three decimals are enough
    assert ("0.004 [\u22120.001, 0.009]", "normal") in found
    assert len(dots(figure.axes[0])) == 3
    assert "Runs: b0 \u00d7 2; full \u00d7 2." in notes(figure)


def test_times_letters_and_differences_have_axes_of_their_own(tmp_path: Path) -> None:
    lettered = hypothesis(
        "H4", "SPLIT", part("a: cka", "SUPPORTED"), part("c: units", "REJECTED"), part("a: x", "SPLIT")
    )
    figure = drawn(tmp_path, hypothesis("H2", "SPLIT", part("area", "REJECTED"), steps("steps", "SUPPORTED")), lettered)
    assert [axis.get_xlabel() for axis in figure.axes] == ["difference", TIMES, "difference", "difference"]
    assert [len(dots(axis)) for axis in figure.axes] == [1, 1, 2, 1]


def test_what_was_not_tested_says_why(tmp_path: Path) -> None:
    shut = part("iou", "NOT TESTED", note="full: undertrained; b1: no runs", low=None, high=None)
    none = part("exact", "NOT TESTED", note="b1: no runs", mean=None, low=None, high=None)
    figure = drawn(tmp_path, hypothesis("H1", "NOT TESTED", shut, none, notes=("a: NOT TESTED", "b1: no runs")))
    found = [word for word, _ in words(figure)]
    assert [word for word in found if word.startswith("NOT TESTED")] == [
        "NOT TESTED (ab)",
        "NOT TESTED (b)",
        "NOT TESTED",
    ]
    assert "(a) full: undertrained; (b) b1: no runs." in notes(figure)
    assert "a: NOT TESTED" in found  # what the hypothesis itself notes
    assert "0.03 [one seed]" in found
    assert "\u2013" in found
    assert hollow(figure.axes[0]) == 1


def test_an_interval_beyond_the_panel_ends_in_an_arrow(tmp_path: Path) -> None:
    far = part("iou", "INCONCLUSIVE", mean=0.01, low=-5.0, high=0.05)
    (axis,) = drawn(tmp_path, hypothesis("H1", "INCONCLUSIVE", far)).axes
    low, high = axis.get_xlim()
    assert -0.1 < low < -0.06
    assert 0.05 < high < 0.1
    arrows = [(line.get_marker(), float(line.get_xdata()[0])) for line in axis.lines if line.get_marker() in ("<", ">")]  # type: ignore[index, arg-type]
    assert arrows == [("<", low)]


def test_variants_stand_side_by_side(tmp_path: Path) -> None:
    several = [
        hypothesis("H1", verdict, part("iou", verdict), part("pairs", "SUPPORTED", "secondary"), variant=variant)
        for variant, verdict in (("k=8", "SUPPORTED"), ("k=16", "REJECTED"))
    ]
    found = [word for word, _ in words(drawn(tmp_path, *several))]
    assert [word for word in found if word.startswith("iou")] == ["iou, k=8", "iou, k=16"]
    assert "k=8: SUPPORTED; k=16: REJECTED" in found
    assert not any("pairs" in word for word in found)  # of several variants what decides alone


def test_no_hypotheses_no_picture(tmp_path: Path) -> None:
    assert mcl_hypotheses.figure(Study(RunFolder(tmp_path))) is None


@pytest.mark.slow
def test_verdicts_of_the_task_are_all_told(tmp_path: Path) -> None:
    made = Made(arms=("b0", "b1", "full", "shuffled"), seeds=3, judged=True)
    study = Study(artifacts.load(mcl_folder.write(tmp_path, made)))
    figure, told = mcl_hypotheses.figure(study), study.document("hypotheses")
    assert figure is not None
    parts = [part for each in told["hypotheses"] for part in each["parts"]]
    assert len(parts) > 50
    assert sum(len(dots(axis)) for axis in figure.axes) == sum(part["mean"] is not None for part in parts)
    bold = [word for word, weight in words(figure) if weight == "bold" and " against " in word]
    assert len(bold) == sum(part["role"] == "primary" for part in parts)
    assert [axis.get_xlabel() for axis in figure.axes] == [
        "difference",
        "difference",
        TIMES,
        TIMES,
        *["difference"] * 4,
    ]
