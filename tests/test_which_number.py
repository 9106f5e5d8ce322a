"""docs/which-number.md: its commands compose, and what it names exists."""

import re
import shlex
from pathlib import Path

import pytest

from llcx import config
from llcx.artifacts.rows import columns
from llcx.figures import flags
from tests.doctor_runs import composed

PAGE = (Path(__file__).parents[1] / "docs" / "which-number.md").read_text()
COMMANDS = re.findall(r"^    python train\.py ?(.*?)(?: {2,}#.*)?$", PAGE, re.MULTILINE)
COLUMNS = ("llc", "llc_fluct", "target", "low", "high", "se", "known_llc", "known_at", "rel_error", "rel_error_at",
           "llc_looser", "gamma_slope", "mult_weights")  # fmt: skip


def test_there_is_a_command_for_each_case() -> None:
    assert len(COMMANDS) == len(re.findall(r"python train\.py", PAGE)) >= 9


@pytest.mark.parametrize("words", COMMANDS)
def test_its_commands_compose(words: str) -> None:
    assert isinstance(config.records(composed(shlex.split(words))), config.Config)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_columns_that_it_names_exist(name: str) -> None:
    assert f"`{name}`" in PAGE
    assert name in columns([])


def test_the_flags_that_it_names_exist() -> None:
    named = {word for word in re.findall(r"`([a-z_]+)`", PAGE) if word in flags.FLAGS}
    assert {"not_a_minimum", "no_finite_minimum", "moved_with_budget"} <= named
