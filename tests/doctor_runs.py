"""Run folders for tests of the doctor: made-up rows with the record of the command that a run would have left."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser

from llcx import artifacts, config
from llcx.artifacts import RunFolder
from llcx.artifacts.files import read_json, write_json, write_yaml
from llcx.artifacts.rows import columns
from tests.figures.run_folder import Net, row, table, write
from tests.running import ROOT

STARTS = {  # how the runs below were started, and what config.yaml made of it
    "auto": ["task=dln"],
    "sgld": ["task=dln", "sampler=sgld", "sampler.step_size=1e-6", "sampler.batch_size=32"],
    "beside": ["+experiment=dln_small24_sgld"],
}


_bases: dict[tuple[str, ...], Any] = {}  # composed from the files once


def composed(words: Sequence[str]) -> Any:
    """What Hydra composes; groups are read from the files once, values applied as Hydra applies them."""
    groups = tuple(word for word in words if word.startswith("+") or re.match(r"(task|sampler|estimator)[=/]", word))
    if groups not in _bases:
        config.install()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            _bases[groups] = compose("config", list(groups))
    cfg, values = _bases[groups].copy(), [word for word in words if word not in groups]
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(values), cfg)
    return cfg


def folder(
    path: Path,
    nets: Sequence[Net],
    start: str = "auto",
    *,
    words: Sequence[str] = (),
    more: dict[str, Any] | None = None,
) -> RunFolder:
    """A run of `nets` that was started as `start` with further overrides; `more`: columns of its rows."""
    write(path, nets)
    rows = [row(index, net, "dln") | (more or {}) for index, net in enumerate(nets)]
    table(path / "metrics_summary.csv", columns(rows), rows)
    given = [*STARTS[start], *words]
    write_yaml(path / "config.yaml", config.resolved(composed(given)))
    (path / ".hydra").mkdir()
    (path / ".hydra" / "overrides.yaml").write_text(json.dumps(given))
    info = read_json(path / "run_info.json")
    write_json(path / "run_info.json", {**info, "command": shlex.join(["python", "train.py", *given])})
    return artifacts.load(path)


def state(path: Path, **status: Any) -> None:
    write_json(path / "status.json", {"stage": "measure", "done": 3, "total": 24, "error": None, **status})


def overrides(text: str) -> list[str]:
    """What stands behind the program of a command."""
    words = shlex.split(text)
    assert words[:2] == ["python", "train.py"]
    return words[2:]


def label(start: str) -> str:
    return "auto" if start == "auto" else "sgld"
