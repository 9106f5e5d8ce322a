"""examples/tour.ipynb: it runs from top to bottom, and what it shows is what it shows again."""

from pathlib import Path

import pytest

from tests import notebook

PATH = Path(__file__).parents[1] / "examples" / "tour.ipynb"


def kinds(book: dict[str, list[notebook.Cell]]) -> list[list[tuple[str, ...]]]:
    """What each code cell left: (kind of output, kinds of data)."""
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return [[(each["output_type"], *each.get("data", {})) for each in cell["outputs"]] for cell in code]


def test_what_its_cells_left_is_in_the_file() -> None:
    book = notebook.read(PATH)
    found = kinds(book)
    assert len(found) >= 8
    assert sum(("display_data", "image/png", "text/plain") in cell for cell in found) == 2
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    assert PATH.stat().st_size < 200_000


def test_a_cell_leaves_what_it_prints_returns_and_draws() -> None:
    names = {"__name__": "__main__"}
    first = notebook.outputs("import matplotlib.pyplot as plt\nprint('a')\nb = 2\nb + 1", names, 1)
    assert [(each["output_type"], each.get("text")) for each in first] == [
        ("stream", ["a\n"]),
        ("execute_result", None),
    ]
    assert first[1]["data"] == {"text/plain": ["3"]}
    assert notebook.outputs("b;", names, 2) == []
    assert [each["output_type"] for each in notebook.outputs("plt.plot([b]);", names, 3)] == ["display_data"]


@pytest.mark.slow
def test_it_runs_and_shows_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    book = notebook.read(PATH)
    before = kinds(book)
    names = notebook.run(book)
    assert kinds(book) == before
    table, course = names["table"], names["course"]
    assert (table.low < table.known_llc).all()
    assert (table.known_llc < table.high).all()
    assert len(course) == 4
    assert course.healthy.all()
    assert course.llc.is_monotonic_increasing
    assert (tmp_path / "run" / "report.html").exists()
