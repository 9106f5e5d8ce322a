"""A line knows its room: what only some rooms of llcx may do, and what none may."""

import ast
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_rooms import FILES, LLCX, path, room_of

Sees = Callable[[ast.AST], bool]


class Rule(NamedTuple):
    """A kind of line that only some rooms may hold, and lines that break the rule anywhere else."""

    name: str
    rooms: set[str]
    sees: Sees
    samples: tuple[str, ...]


def dotted(node: ast.AST) -> str:
    """`torch.cuda.seed` -> "torch.cuda.seed"; what is not a plain chain of names ends in its attribute, "?.seed"."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(given.value) for given in call.keywords if given.arg == name), None)


def imports(*packages: str, but: Collection[str] = ()) -> Sees:
    def sees(node: ast.AST) -> bool:
        if isinstance(node, ast.Import):
            return any(alias.name.split(".")[0] in packages for alias in node.names)
        if not isinstance(node, ast.ImportFrom):
            return False
        return (node.module or "").split(".")[0] in packages and not {a.name for a in node.names} <= set(but)

    return sees


def uses(*names: str) -> Sees:
    """A dotted name, or its import from where it lives."""

    def sees(node: ast.AST) -> bool:
        if isinstance(node, ast.ImportFrom):
            return any(f"{node.module}.{alias.name}" in names for alias in node.names)
        return isinstance(node, ast.Attribute | ast.Name) and dotted(node) in names

    return sees


DRAWS = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson")
LIKE = ("rand_like", "randn_like", "randint_like")
IN_PLACE = ("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_", "geometric_")


def draws_without_a_generator(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "torch" and any(alias.name in DRAWS + LIKE for alias in node.names)
    if not isinstance(node, ast.Call):
        return False
    if dotted(node.func) in ("np.random.default_rng", "numpy.random.default_rng"):
        return not node.args
    if dotted(node.func).startswith(("np.random.", "numpy.random.")):
        return True
    torchs = dotted(node.func) in [f"torch.{name}" for name in DRAWS + LIKE]
    in_place = isinstance(node.func, ast.Attribute) and node.func.attr in IN_PLACE
    return (torchs or in_place) and keyword(node, "generator") is None


WRITERS = ("write_text", "write_bytes", "mkdir", "makedirs", "unlink", "rmtree", "to_csv", "savez", "savez_compressed")


def writes_the_disk(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = dotted(node.func).split(".")[-1]
    place = 1 if isinstance(node.func, ast.Name) else 0  # open(path, mode), path.open(mode)
    mode = keyword(node, "mode") or (ast.unparse(node.args[place]) if len(node.args) > place else "")
    return name in WRITERS or (name == "open" and bool(set(mode.strip("'\"")) & set("wax+")) and mode[:1] in "'\"")


def runs_what_it_reads(node: ast.AST) -> bool:
    """Pickles and evaluated strings: a file from elsewhere must not be a program."""
    if imports("pickle", "cloudpickle", "dill", "joblib", "shelve")(node):
        return True
    if not isinstance(node, ast.Call):
        return False
    if dotted(node.func) == "torch.load":
        return keyword(node, "weights_only") != "True"
    return keyword(node, "allow_pickle") == "True" or dotted(node.func) in (
        "eval",
        "exec",
        "yaml.load",
        "yaml.unsafe_load",
    )


NOWHERE: set[str] = set()
RULES = [
    Rule(
        "matplotlib",
        {"figures"},
        imports("matplotlib"),
        ("import matplotlib.pyplot as plt", "from matplotlib import rc"),
    ),
    Rule("saving tensors", {"artifacts"}, uses("torch.save"), ("torch.save(x, f)", "from torch import save")),
    # A compiled library lies in the user's cache, outside of runs.
    Rule(
        "writing the disk",
        {"artifacts", "native"},
        writes_the_disk,
        ("open(p, 'w')", "p.open('ab')", "p.write_text('')"),
    ),
    Rule(  # collect reads what a sweep was told
        "hydra",
        {"config", "main", "run", "collect"},
        imports("hydra"),
        ("import hydra", "from hydra.utils import instantiate"),
    ),
    Rule(
        "DictConfig",
        {"config", "main", "run"},
        imports("omegaconf", but={"MISSING"}),
        ("from omegaconf import MISSING, II",),
    ),
    Rule("fractions", {"theory"}, imports("fractions"), ("from fractions import Fraction",)),
    # Over chains; a task may use it on one model.
    Rule(
        "vmap",
        {"gradients", "tasks"},
        uses("torch.func.vmap", "torch.vmap"),
        ("from torch.func import vmap", "torch.vmap(f)"),
    ),
    Rule("the global seed", {"rng"}, uses("torch.manual_seed", "torch.seed"), ("torch.manual_seed(0)", "torch.seed()")),
    Rule("print", NOWHERE, lambda node: isinstance(node, ast.Call) and dotted(node.func) == "print", ("print(1)",)),
    Rule(
        "random numbers without a generator",
        NOWHERE,
        draws_without_a_generator,
        ("torch.randn(3)", "torch.randn_like(x)", "x.normal_()", "np.random.rand(3)", "np.random.default_rng()"),
    ),
    Rule("the random module", NOWHERE, imports("random"), ("import random",)),
    Rule(
        "code from data",
        NOWHERE,
        runs_what_it_reads,
        (
            "import pickle",
            "torch.load(f)",
            "torch.load(f, weights_only=False)",
            "np.load(f, allow_pickle=True)",
            "eval(s)",
        ),
    ),
    # Postponed annotations break the checks of shapes.
    Rule("the future", NOWHERE, imports("__future__"), ("from __future__ import annotations",)),
]


def line_offences(file: Path, source: str) -> Iterator[str]:
    room = room_of(file)
    for node in ast.walk(ast.parse(source)):
        for rule in RULES:
            if room not in rule.rooms and rule.sees(node):
                where = ", ".join(sorted(rule.rooms)) or "nowhere"
                yield f"line {getattr(node, 'lineno', '?')}: {rule.name} belongs to: {where}"


@pytest.mark.parametrize("file", FILES, ids=path)
def test_a_line_stands_in_its_room(file: Path) -> None:
    assert list(line_offences(file, file.read_text())) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "_"))
def test_the_lock_refuses_a_line_outside_its_room(rule: Rule) -> None:
    for sample in rule.samples:
        assert any(rule.name in found for found in line_offences(LLCX / "posterior.py", sample)), sample
        for room in rule.rooms:
            assert not any(rule.name in found for found in line_offences(LLCX / f"{room}.py", sample)), (room, sample)


def test_the_lock_lets_seeded_draws_and_reading_pass() -> None:
    lines = (
        "torch.randn(3, generator=g)",
        "x.normal_(generator=g)",
        "noise.normal(like=w)",
        "np.random.default_rng(0)",
        "open(p)",
        "open(p, 'rb')",
        "torch.load(f, weights_only=True)",
        "from omegaconf import MISSING",
        "console.print(table)",
    )
    assert list(line_offences(LLCX / "posterior.py", "\n".join(lines))) == []
