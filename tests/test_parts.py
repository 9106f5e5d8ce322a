"""Learning coefficients of parts beside that of the whole: the table, and a run that asks for parts."""

from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import artifacts, parts
from llcx.artifacts.files import read_csv
from llcx.diagnostics import t_quantile
from llcx.estimators import places
from llcx.estimators.llc import LLC
from tests.running import start, toys_registered

C, T = 8, 50
SLICES = "estimator.where_each={first: 'weight[:, 0]', others: 'weight[:, 1:]'}"


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from toys_registered(monkeypatch)


def row(where: str, llc: float, se: float = 0.1, **more: Any) -> dict[str, Any]:
    """A measurement whose interval is three half-widths of bias in a hundred and its noise."""
    noise, bias = t_quantile(C) * se, 0.03 * llc
    half = sqrt(noise**2 + bias**2)
    cells = {"point": "p", "sampler": "hmc", "where": where, "target": "data", "llc": llc, "se": se}
    cells |= {"low": llc - half, "high": llc + half, "nbeta": 100.0, "gamma": 1.0, "parameters": 10, "healthy": "True"}
    return {**cells, "flags": "", **more}


def energies(shared: float = 0.0) -> dict[str, Tensor]:
    """[C, T] whose chain means have standard deviation 1; `shared`: the correlation of their chains."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(C, 1, generator=generator, dtype=torch.float64)
    own = {name: torch.randn(C, 1, generator=generator, dtype=torch.float64) for name in ("a", "b", "all")}
    return {name: (shared**0.5 * common + (1 - shared) ** 0.5 * mean).expand(C, T) for name, mean in own.items()}


def table(rows: list[dict[str, Any]], shared: float = 0.0, cut: str = "") -> dict[str, dict[str, Any]]:
    found = energies(shared)
    lines = parts.beside(rows, "all", lambda row: found[row["where"]], {"p": cut})
    return {line["where"] or line["kind"]: line for line in lines}


def test_the_sum_stands_beside_the_whole_with_its_own_interval() -> None:
    lines = table([row("all", 6.0), row("a", 2.0), row("b", 3.0)])
    total, apart = lines["sum of parts"], lines["whole - sum"]
    assert list(lines) == ["a", "b", "sum of parts", "all", "whole - sum"]
    assert (total["llc"], total["parameters"], total["comparable"], total["why"]) == (5.0, 20.0, True, "")
    assert apart["llc"] == 1.0
    noise = t_quantile(C) * total["se"]
    assert total["high"] - 5.0 == pytest.approx(sqrt(noise**2 + (0.03 * 5) ** 2))  # biases one on top of the other
    assert apart["high"] - 1.0 == pytest.approx(sqrt((t_quantile(C) * apart["se"]) ** 2 + (0.03 * 11) ** 2))


def test_errors_of_a_sum_know_that_chains_draw_alike() -> None:
    rows = [row("all", 6.0, 0.3), row("a", 2.0, 0.3), row("b", 3.0, 0.3)]
    apart, alike = (table(rows, shared)["sum of parts"]["se"] for shared in (0.0, 1.0))
    assert apart == pytest.approx(sqrt(2) * 0.3, rel=0.35)
    assert alike == pytest.approx(2 * 0.3)  # never more than the sum of both
    assert table(rows, 1.0)["whole - sum"]["se"] >= sqrt(3) * 0.3  # nor less than that of independent ones


def test_other_numbers_of_chains_add_their_errors() -> None:
    found = {"a": torch.randn(C, T), "b": torch.randn(2 * C, T), "all": torch.randn(C, T)}
    lines = parts.beside([row("a", 2.0), row("b", 3.0)], "all", lambda row: found[row["where"]], {})
    assert lines[-1]["kind"] == "sum of parts"
    assert lines[-1]["se"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"target": "self"}, "different target"),
        ({"gamma": 2.0}, "different gamma"),
        ({"nbeta": 50.0}, "different nbeta"),
        ({"healthy": "False"}, "flagged: b"),
        ({"llc": ""}, "no number: b"),
    ],
)
def test_what_is_not_alike_is_not_compared(more: dict[str, Any], why: str) -> None:
    lines = table([row("all", 6.0), row("a", 2.0), row("b", 3.0) | more])
    assert lines["sum of parts"]["comparable"] is False
    assert why in lines["sum of parts"]["why"]


def test_a_partition_that_is_none_is_said_and_without_parts_there_is_no_table() -> None:
    assert table([row("all", 6.0), row("a", 2.0)], cut="3 in no part")["sum of parts"]["why"] == "3 in no part"
    assert table([row("all", 6.0)]) == {}
    whole = torch.arange(2, 8)
    assert parts.overlap([torch.arange(2, 5), torch.arange(5, 8)], whole) == ""
    assert (
        parts.overlap([torch.arange(2, 5), torch.arange(4, 7)], whole) == "1 parameters in several parts, 1 in no part"
    )
    assert parts.overlap([whole, torch.tensor([1])], whole) == "1 not in all"
    assert parts.overlap([torch.tensor([9])], torch.arange(2)) == "2 in no part, 1 not in all"


def test_parts_are_named_by_globs_or_by_name() -> None:
    assert places.parts(["a", ["b", "c[0:2]"]]) == {"a": ["a"], "b,c[0:2]": ["b", "c[0:2]"]}
    assert places.parts({"head": ["q[0]", "k[0]"], "b": "b"}) == {"head": ["q[0]", "k[0]"], "b": ["b"]}
    assert places.parts(None) == places.parts("auto") == places.parts([]) == {}
    assert LLC(where=["q[0]", "k[0]"], part="head", measure_on="test").place == "head on test"


@pytest.mark.parametrize("asked", ["0.*", [3], [[]], {"a": []}, {"a": 1}, 5, {"all": ["*"]}])
def test_parts_that_are_none_are_refused(asked: Any) -> None:
    with pytest.raises(ValueError, match=r"estimator\.where_each must be globs, lists of globs"):
        LLC(where_each=asked)


def test_a_run_measures_parts_at_the_temperature_of_the_whole(tmp_path: Path) -> None:
    precise = ["estimator.chains=64", "estimator.draws=30", "estimator.warmup=10", "task.model.width=4"]
    assert start(tmp_path, SLICES, *precise) == 0
    folder = artifacts.load(tmp_path)
    rows = {row["where"]: row for row in folder.rows}
    assert list(rows) == ["all", "first", "others"]
    assert [rows[name]["parameters"] for name in rows] == ["4", "1", "3"]
    assert len({(row["nbeta"], row["gamma"]) for row in rows.values()}) == 1
    assert (rows["all"]["known_llc"], rows["first"]["known_llc"]) == ("2.0", "")  # the key is of the whole
    assert folder.target_info["points"]["net=0"]["cut"] == ""
    assert "sum of parts" in (tmp_path / "summary.txt").read_text()
    lines = {line["where"] or line["kind"]: line for line in read_csv(tmp_path / "analysis" / "parts.csv")}
    for name, size in {"first": 1, "others": 3, "sum of parts": 4, "all": 4}.items():  # a quadratic: half a nat each
        value, se = float(lines[name]["llc"]), float(lines[name]["se"])
        assert se < 0.04 * size and abs(value - size / 2) < 5 * se
    assert float(lines["whole - sum"]["low"]) < 0 < float(lines["whole - sum"]["high"])


def test_parts_of_the_model_itself_and_a_resumed_run(tmp_path: Path) -> None:
    assert start(tmp_path, "estimator.where_each=auto") == 0
    folder = artifacts.load(tmp_path)
    assert [row["where"] for row in folder.rows] == ["all", "weight"]
    assert folder.target_info["points"]["net=0"]["parts"] == {"weight": ["weight"]}
    whole, part = (folder.draws(row)["energy"] for row in folder.rows)
    assert (whole == part).all()  # all of it is all of it, bit for bit


def test_a_part_that_is_not_there_is_a_flagged_row_and_the_others_run(tmp_path: Path) -> None:
    assert start(tmp_path, "estimator.where_each=['weight[:, 7]','weight[:, :2]']") == 1
    rows = {row["where"]: row for row in artifacts.load(tmp_path).rows}
    assert "must fit weight, whose shape is [1, 3], got 7 on an axis of 3" in rows["weight[:, 7]"]["flags"]
    assert rows["weight[:, :2]"]["llc"] and rows["all"]["llc"]


def test_numbers_are_texts_in_the_terminal() -> None:
    lines = parts.beside(
        [row("all", 6.0), row("a", 2.0), row("b", 3.0)], "all", lambda row: energies()[row["where"]], {}
    )
    (told,) = parts.shown(lines)
    assert told["sum of parts"].startswith("5 [") and told["whole"].startswith("6 [") and told["comparable"] == "yes"
    assert list(told)[:2] == ["point", "sampler"]
