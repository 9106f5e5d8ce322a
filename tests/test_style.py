"""The numbers of the style: short files, short functions, few positional parameters, names that say something."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "llcx").rglob("*.py"))
FILES = [*SHIPPED, *sorted((ROOT / "tests").rglob("*.py")), *sorted(ROOT.glob("*.py"))]
Function = ast.FunctionDef | ast.AsyncFunctionDef
MEANINGLESS = re.compile(r"^(utils?|helpers?|common|misc|base)$|^base_|_(v\d+|new|old|utils?|helpers?)$")


def path(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def functions(source: str) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, Function))


def documented(node: ast.AST) -> bool:
    """Whether a function's or class's body begins with a docstring."""
    return isinstance(node, Function | ast.ClassDef) and ast.get_docstring(node, clean=False) is not None


def body_lines(function: Function, source: str) -> int:
    """Lines of the body, those of nested functions included; no docstrings, blank lines or lines of comment alone."""
    docstrings = {
        line
        for node in ast.walk(function)
        if documented(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)  # type: ignore[attr-defined]
    }
    text = source.splitlines()
    spanned = set(range(function.body[0].lineno, (function.end_lineno or 0) + 1)) - docstrings
    return sum(bool(text[line - 1].strip()) and not text[line - 1].strip().startswith("#") for line in spanned)


def positional(function: Function) -> int:
    names = [arg.arg for arg in [*function.args.posonlyargs, *function.args.args]]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def offences(source: str) -> Iterator[str]:
    """What a file does that the style forbids."""
    module = ast.get_docstring(ast.parse(source)) or ""
    lines = len(source.splitlines())
    if lines > 300 and "lines because" not in module:
        yield f"{lines} lines; split it, or say in the docstring `more than 300 lines because ...`"
    for function in functions(source):
        where = f"line {function.lineno}: {function.name}"
        if (body := body_lines(function, source)) > 40:
            yield f"{where} has a body of {body} lines; at most 40"
        if (taken := positional(function)) > 6:
            yield f"{where} takes {taken} positional parameters; at most 6, or a record"


@pytest.mark.parametrize("file", FILES, ids=path)
def test_a_file_keeps_to_the_style(file: Path) -> None:
    assert list(offences(file.read_text())) == []


@pytest.mark.parametrize("file", [file for file in FILES if file.stat().st_size], ids=path)
def test_a_file_says_what_it_is(file: Path) -> None:
    assert MEANINGLESS.search(file.stem) is None
    assert ast.get_docstring(ast.parse(file.read_text()))


def test_the_median_file_and_the_median_function_are_short() -> None:
    sources = [file.read_text() for file in SHIPPED]
    bodies = [body_lines(function, source) for source in sources for function in functions(source)]
    assert len(sources) >= 40
    assert len(bodies) >= 300
    assert median(len(source.splitlines()) for source in sources) <= 120
    assert median(bodies) <= 10


def test_the_style_refuses_what_it_forbids() -> None:
    long_body = "def f():\n" + "    x = 1\n" * 41
    assert len(list(offences(long_body))) == 1
    assert not list(offences("def f():\n" + "    x = 1\n" * 40))
    assert not list(offences('def f():\n    """\n' + "    said\n" * 41 + '    """\n    # why\n\n    x = 1\n'))
    assert len(list(offences("x = 1\n" * 301))) == 1
    assert not list(offences('"""More than 300 lines because the table is one."""\n' + "x = 1\n" * 301))
    assert len(list(offences("def f(a, b, c, d, e, f, g): ..."))) == 1
    assert not list(offences("def f(self, a, b, c, d, e, f, *, g): ..."))


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "base_sampler", "sgld_v2", "plot_utils"])
def test_the_style_refuses_a_name_that_says_nothing(name: str) -> None:
    assert MEANINGLESS.search(name)


def test_every_package_is_shipped() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {".".join(file.parent.relative_to(ROOT).parts) for file in SHIPPED if file.name == "__init__.py"}
    assert {*packages, "llcx.conf"} == set(setuptools["packages"])
    assert all((file.parent / "__init__.py").exists() for file in SHIPPED)
    beside = {path.name for path in (ROOT / "llcx").iterdir() if path.is_file() and path.suffix != ".py"}
    assert beside == set(setuptools["package-data"]["llcx"])
