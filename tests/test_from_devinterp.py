"""docs/from-devinterp.md: what it names exists, and what it says of SGLD's step is so."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

import llcx
from llcx import config
from llcx.estimators.llc import LLC, Estimate
from tests.doctor_runs import composed

PAGE = (Path(__file__).parents[1] / "docs" / "from-devinterp.md").read_text()
NAMES = sorted(set(re.findall(r"\bllcx\.([a-z_]+(?:\.[A-Za-z_]+)?)", PAGE)))
COMMAND = re.findall(r"    python train\.py ((?:.*\\\n)*.*)\n", PAGE)


@pytest.mark.parametrize("name", NAMES)
def test_the_names_that_it_uses_exist(name: str) -> None:
    found = llcx
    for part in name.split("."):
        found = getattr(found, part)


def test_the_settings_that_it_names_exist() -> None:
    known = {field.name for field in fields(LLC)}
    assert set(re.findall(r"estimator\.([a-z_]+)", PAGE)) <= {*known, "grid"}
    told = set(re.findall(r"Estimate\.([a-z_]+)", PAGE))
    assert told
    assert all(hasattr(Estimate, name) or name in Estimate.__dataclass_fields__ for name in told)


def test_its_command_composes() -> None:
    assert len(COMMAND) == 1
    read = config.records(composed(shlex.split(COMMAND[0].replace("\\\n", " "))))
    assert (read.sampler.step_size, read.sampler.batch_size, read.estimator.every) == (1e-3, 100, 2)


def test_the_pages_that_it_links_to_are_there() -> None:
    pages = re.findall(r"\]\(([a-z-]+\.md)", PAGE)
    assert len(pages) >= 6
    assert [page for page in pages if not (Path(__file__).parents[1] / "docs" / page).exists()] == []
