"""README.md: its commands name what exists and compose, and its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from llcx import config
from tests.doctor_runs import composed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text()
FOUND = [shlex.split(words.rstrip("`")) for words in re.findall(r"python train\.py([^`|#\n]*)", PAGE)]
OPEN = ("...", "DIR", "GROUP", "--", "+cluster", "hydra/")  # what a word of a form, a sweep or a resumed run may hold
COMMANDS = {" ".join(words): words for words in FOUND if not any(mark in word for mark in OPEN for word in words)}


def test_there_is_a_command_for_each_question() -> None:
    assert len(COMMANDS) >= 20
    assert len(FOUND) >= 26


@pytest.mark.parametrize("kind", ["task", "sampler", "hardware", "experiment"])
def test_the_names_that_its_commands_choose_exist(kind: str) -> None:
    chosen = {word.split("=")[1] for words in FOUND for word in words if word.lstrip("+").startswith(f"{kind}=")}
    names = {name for choice in chosen for name in choice.split(",")} - {"NAME", "my_study"}
    assert [name for name in names if not (ROOT / "conf" / kind / f"{name}.yaml").exists()] == []


def test_its_links_lead_somewhere() -> None:
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", PAGE) if not link.startswith("http")}
    assert len(links) >= 15
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("command", [name for name, words in COMMANDS.items() if any("." in word for word in words)])
def test_its_commands_with_keys_compose(command: str) -> None:
    """Those that only choose files are composed in test_conf.py."""
    assert isinstance(config.records(composed(COMMANDS[command])), config.Config)
