"""An axis of a study is the same study as jobs of a sweep: equal rows, in other folders."""

from pathlib import Path

from llcx import artifacts
from llcx.main import main

SHORT = ["estimator.chains=4", "estimator.warmup=8", "estimator.draws=8", "run.stages=[measure]"]
APART = ("point", "seconds")  # an axis is in the point's name; a job has it in its overrides


def numbers(folder: Path) -> list[dict[str, str]]:
    rows = artifacts.load(folder).rows
    return [{k: v for k, v in row.items() if k not in APART and not k.startswith("at.")} for row in rows]


def test_ranks_as_an_axis_and_as_jobs_give_equal_rows(tmp_path: Path) -> None:
    one, sweep = tmp_path / "one", tmp_path / "sweep"
    assert main([*SHORT, "task.grid.rank=[1,2]", f"hydra.run.dir={one}"]) == 0
    assert main([*SHORT, "--multirun", "task.model.rank=1,2", f"hydra.sweep.dir={sweep}"]) == 0
    assert numbers(one) == numbers(sweep / "0") + numbers(sweep / "1")
    assert len(numbers(one)) == 2
    assert numbers(one)[0]["llc"] != numbers(one)[1]["llc"]


def test_seeds_as_an_axis_and_as_jobs_give_equal_rows(tmp_path: Path) -> None:
    one, sweep = tmp_path / "one", tmp_path / "sweep"
    assert main([*SHORT, "seed=3", "task.seeds=2", f"hydra.run.dir={one}"]) == 0
    assert main([*SHORT, "--multirun", "seed=3,4", f"hydra.sweep.dir={sweep}"]) == 0
    assert numbers(one) == numbers(sweep / "0") + numbers(sweep / "1")
