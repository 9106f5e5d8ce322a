"""Run a notebook's cells in a row, as Jupyter does, without Jupyter.

    python -m tests.notebook examples/tour.ipynb      runs it and writes what its cells print, return and draw into it

A cell's result is its last line, where that is an expression; figures are those that matplotlib has open at its end.
"""

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

Cell = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    """A notebook of format 4.5."""
    book: dict[str, Any] = json.loads(path.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    return book


def text(cell: Cell) -> str:
    return "".join(cell["source"])


def run(book: dict[str, Any]) -> dict[str, Any]:
    """Execute the code cells of `book` in a fresh namespace, which is returned; outputs go into the cells."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for count, cell in enumerate((each for each in book["cells"] if each["cell_type"] == "code"), 1):
        cell["execution_count"] = count
        cell["outputs"] = outputs(text(cell), names, count)
    return names


def outputs(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What a cell leaves, as the notebook format has it."""
    tree, printed, value = ast.parse(source), io.StringIO(), None
    shown = isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";")
    last = tree.body.pop() if shown else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {count}", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": lines(repr(value))}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = lines(value._repr_html_())
        found.append({"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"})
    return found + [{"data": each, "metadata": {}, "output_type": "display_data"} for each in figures()]


def figures() -> list[dict[str, Any]]:
    """The open figures as PNG, closed then."""
    found = []
    for number in plt.get_fignums():
        picture = io.BytesIO()
        plt.figure(number).savefig(picture, format="png", dpi=80, bbox_inches="tight", metadata={"Software": None})
        found.append({"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": ["<Figure>"]})
    plt.close("all")
    return found


def lines(whole: str) -> list[str]:
    return whole.splitlines(keepends=True)


if __name__ == "__main__":
    plt.switch_backend("Agg")
    for name in sys.argv[1:]:
        book = read(Path(name))
        run(book)
        Path(name).write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")
