"""`python -m llcx.collect`: nothing is lost on the way from run folders to one table, whatever state they are in."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llcx import artifacts
from llcx.artifacts import lock
from llcx.artifacts.files import read_csv
from llcx.artifacts.rows import texts
from llcx.collect import Job, find, plan, tables
from llcx.collect.__main__ import main
from llcx.collect.jobs import Found
from tests.figures.run_folder import Net, row
from tests.swept import WRONG, job, steps, sweep


def states(path: Path) -> dict[str, str]:
    return {each.name: each.state for each in find([path]).jobs}


def written(path: Path, out: Path | None = None) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """collected.csv and jobs.csv, read back."""
    tables.write(find([path]), out or path)
    return read_csv((out or path) / "collected.csv"), read_csv((out or path) / "jobs.csv")


def test_every_row_stands_behind_its_job_and_what_that_was_told(tmp_path: Path) -> None:
    rows, _ = written(steps(tmp_path))
    assert [(line["job"], line["state"], line["point"]) for line in rows] == [
        ("0", "completed", "net=0"),
        ("0", "completed", "net=1"),
        ("1", "completed", "net=0"),
        ("2", "failed", "net=0"),
        ("3", "killed", "net=0"),
    ]
    assert list(rows[0])[:4] == ["job", "state", "sweep.sampler.step_size", "sweep.seed"]
    assert [line["sweep.sampler.step_size"] for line in rows] == ["1e-05", "1e-05", "1e-05", "0.0001", "0.0001"]
    told = artifacts.load(tmp_path / "0").rows[1]
    assert {key: rows[1][key] for key in told} == told


def test_every_job_is_accounted_for_with_what_became_of_it(tmp_path: Path) -> None:
    _, jobs = written(steps(tmp_path))
    assert [each["state"] for each in jobs] == ["completed", "completed", "failed", "killed", "missing", "missing"]
    assert [each["rows"] for each in jobs] == ["2", "1", "1", "1", "0", "0"]
    assert [each["healthy"] for each in jobs] == ["2", "0", "0", "1", "0", "0"]
    assert jobs[2]["error"].endswith(WRONG)
    assert jobs[5]["overrides"] == "task=dln sampler=sgld sampler.step_size=0.001 seed=1"
    assert (jobs[5]["sweep.seed"], jobs[5]["folder"], jobs[5]["started"]) == ("1", "5", "")


def test_a_job_with_a_living_writer_is_running(tmp_path: Path) -> None:
    other = lock.Lock(steps(tmp_path) / "3")
    other.take()
    assert states(tmp_path)["3"] == "running"
    other.release()
    assert states(tmp_path)["3"] == "killed"


DAMAGES: dict[str, tuple[str, Callable[[str], str]]] = {
    "half a status": ("status.json", lambda text: text[: len(text) // 2]),
    "a list for a status": ("status.json", lambda text: "[1]"),
    "half a table": ("metrics_summary.csv", lambda text: text[:-40]),
    "a table of other columns": ("metrics_summary.csv", lambda text: "point,llc\na,3.0\n"),
    "words for numbers": ("metrics_summary.csv", lambda text: text.replace(",9.5,", ",nine,")),
    "bytes": ("metrics_summary.csv", lambda text: text + "\0"),
    "another account": ("run_info.json", lambda text: '{"stages": {"measure": 3}}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_told_and_cost_no_other_job(damage: str, tmp_path: Path) -> None:
    name, spoil = DAMAGES[damage]
    before = find([steps(tmp_path)]).jobs
    file = tmp_path / "0" / name
    file.write_text(spoil(file.read_text()))
    hurt, *others = find([tmp_path]).jobs
    assert (hurt.state, hurt.words, hurt.rows) == ("unreadable", before[0].words, ())
    assert hurt.error
    assert others == before[1:]


def test_a_damaged_plan_costs_the_jobs_that_have_not_begun_alone(tmp_path: Path) -> None:
    steps(tmp_path)
    for text in ("hydra: [", "[]", "hydra: {sweeper: null}"):
        (tmp_path / "multirun.yaml").write_text(text)
        assert sorted(states(tmp_path)) == ["0", "1", "2", "3"]


def test_a_job_that_failed_before_its_first_write_says_why(tmp_path: Path) -> None:
    sweep(tmp_path, "task.model.width=0,1,2,3")
    for name, text in {
        "0": "[2026-01-31 12:00:00,000][llcx.main][ERROR] - job 0 failed: task.model.width must be >= 1, got 0\n"
        "Traceback (most recent call last):\nValueError: task.model.width must be >= 1, got 0\n"
        "[2026-01-31 12:00:01,000][INFO] - Exiting after successful completion\n",
        "1": "Traceback (most recent call last):\n  File ...\nllcx.run.SomeError: no luck: at all\n",
        "2": "[2026-01-31 12:00:00,000][llcx.main][INFO] - all is well\n",
    }.items():
        job(tmp_path / name, f"task.model.width={name}", state="")
        (tmp_path / name / "llcx.log").write_text(text)
    found = find([tmp_path]).jobs
    assert [each.state for each in found] == ["failed", "failed", "missing", "missing"]
    assert [each.error for each in found[:2]] == ["task.model.width must be >= 1, got 0", "no luck: at all"]


@pytest.mark.parametrize(
    ("words", "swept", "jobs"),
    [
        (["seed=1"], (), [("seed=1",)]),
        (["a=1,2", "b=x,y"], ("a", "b"), [("a=1", "b=x"), ("a=1", "b=y"), ("a=2", "b=x"), ("a=2", "b=y")]),
        (["seed=range(0,3)"], ("seed",), [("seed=0",), ("seed=1",), ("seed=2",)]),
        (["+sampler@samplers.B=sgld,hmc"], ("sampler@samplers.B",),
         [("+sampler@samplers.B=sgld",), ("+sampler@samplers.B=hmc",)]),
        (["w=[1,2],[3]", "run.resume=x"], ("w",), [("w=[1,2]",), ("w=[3]",)]),
        (["run.points=0-3,4-7"], ("run.points",), [("run.points=0-3",), ("run.points=4-7",)]),
        (["sampler=glob(*)"], ("sampler",), []),
        (["a=(("], (), []),
    ],
)  # fmt: skip
def test_the_plan_of_a_sweep_is_that_of_hydra(
    words: list[str], swept: tuple[str, ...], jobs: list[tuple[str, ...]], tmp_path: Path
) -> None:
    assert plan.read(sweep(tmp_path, *words)) == plan.Plan(swept, tuple(jobs))


def test_keys_that_a_configuration_sweeps_over_come_before_those_of_the_command_line(tmp_path: Path) -> None:
    found = plan.read(sweep(tmp_path, "seed=0,1", params={"task.model.width": "2,3"}))
    assert found.jobs[1] == ("task.model.width=2", "seed=1")


def test_jobs_named_by_their_overrides_are_missed_by_them(tmp_path: Path) -> None:
    sweep(tmp_path, "seed=0,1,2")
    job(tmp_path / "seed=1", "seed=1", nets=[Net("a", 3.0)])
    found = find([tmp_path]).jobs
    assert [(each.name, each.state, each.words) for each in found] == [
        ("0", "missing", ("seed=0",)),
        ("2", "missing", ("seed=2",)),
        ("seed=1", "completed", ("seed=1",)),
    ]


def test_a_gap_is_missed_where_nothing_tells_the_plan(tmp_path: Path) -> None:
    sweep(tmp_path, "sampler=glob(*)")
    for name in ("0", "2", "10"):
        job(tmp_path / name, f"sampler=s{name}", nets=[Net("a", 3.0)])
    assert [name for name, state in states(tmp_path).items() if state == "missing"] == list("13456789")
    assert list(states(tmp_path)) == [str(k) for k in range(11)], "job 10 comes after job 9"


def test_a_moved_sweep_gives_the_same_tables(tmp_path: Path) -> None:
    written(steps(tmp_path / "here"))
    shutil.copytree(tmp_path / "here", tmp_path / "elsewhere" / "there")
    shutil.rmtree(tmp_path / "here" / "3")
    before = (tmp_path / "elsewhere" / "there" / "jobs.csv").read_bytes()
    written(tmp_path / "elsewhere" / "there")
    assert (tmp_path / "elsewhere" / "there" / "jobs.csv").read_bytes() == before


def test_a_folder_of_runs_and_sweeps_is_one_table_with_the_keys_that_differ(tmp_path: Path) -> None:
    job(tmp_path / "day" / "noon", "task=dln", "sampler=hmc", "run.verbosity=quiet", nets=[Net("a", 3.0)])
    job(tmp_path / "day" / "dry", "task=dln", "run.dry=true", state="")
    sweep(tmp_path / "night", "task=dln", "sampler=hmc", "seed=0,1")
    job(tmp_path / "night" / "0", "task=dln", "sampler=hmc", "seed=0", nets=[Net("a", 3.0)])
    rows, jobs = written(tmp_path, tmp_path / "out")
    assert [line["job"] for line in rows] == ["day/noon", "night/0"]
    assert [(each["job"], each["state"]) for each in jobs][2] == ("night/1", "missing")
    assert [key for key in rows[0] if key.startswith("sweep.")] == ["sweep.seed"]
    assert (tmp_path / "out" / jobs[0]["folder"] / "status.json").exists()


def test_sweeps_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [steps(tmp_path / "a" / "sweep"), steps(tmp_path / "b" / "sweep")]
    assert len({each.name for each in find(paths).jobs}) == 12


def test_the_command_writes_the_files_and_names_what_is_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(steps(tmp_path))])
    assert all((tmp_path / name).stat().st_size > 100 for name in ("collected.csv", "jobs.csv", "report.html"))
    assert (tmp_path / "collected.png").read_bytes().startswith(b"\x89PNG")
    told = capsys.readouterr().out
    assert "6 jobs: 2 completed, 2 missing, 1 failed, 1 killed; 5 measurements" in told
    assert told.index("job 2 failed: ") < told.index("job 3 killed") < told.index("job 4 missing: task=dln")
    assert "9.5" in told and "rhat" in told


def test_many_measurements_are_shown_together_without_their_seeds() -> None:
    net = Net("a", 9.4, known=9.5, draws=4, warmup=4)
    rows = [texts(row(0, net._replace(flags=flags), "dln")) for flags in ("", "rhat")]
    jobs = [
        Job(f"{k}", Path(), "completed", words=(f"task.model.width={2 + k % 2}", f"seed={k // 2}"), rows=[rows[k % 2]])
        for k in range(2 * tables.MOST)
    ]
    found = Found(jobs, ("task.model.width", "seed"))
    shown = tables.shown(tables.measurements(found), found.swept)
    assert [(line["task.model.width"], line["rows"], line["healthy"]) for line in shown] == [
        ("2", "40", "40"),
        ("3", "40", "0"),
    ]
    assert shown[0]["known"] == "9.5" and "seed" not in shown[0]
    assert len(tables.shown(tables.measurements(found)[: tables.MOST], found.swept)) == tables.MOST


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "DIR"),
        (["nowhere"], "must exist, got"),
        (["."], "must hold runs or a sweep"),
        (["sweep", "sweep"], "--out must name a folder"),
        (["sweep/0"], "--out must name a folder"),
        (["sweep", "--x", "nonsense"], "--x must be one of sampler.step_size, seed, got nonsense"),
        (["sweep", "--y", "nonsense"], "--y must be a column"),
        (["sweep", "--y", "flags"], "--y must be a column of metrics_summary.csv that holds numbers"),
        (["--nonsense"], "DIR"),
    ],
)
def test_what_cannot_be_collected_is_refused_in_one_line(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if words != ["."]:
        steps(tmp_path / "sweep")
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert str(refused.value).startswith("error: ") and "\n" not in str(refused.value)
    assert told in str(refused.value)
