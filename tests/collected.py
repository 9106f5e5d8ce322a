"""A collected sweep with made-up numbers, as `python -m llcx.collect` leaves it: what the report of a sweep reads."""

from pathlib import Path
from typing import Any

from llcx.artifacts.files import write_json
from llcx.artifacts.rows import columns
from tests.figures.run_folder import Net, row, table

OF_JOB = ("job", "folder", "state", "error", "overrides", "started", "seconds", "rows", "healthy", "heartbeat")
SWEPT = ("sweep.seed", "sweep.sampler.step_size")
STEPS = ("1e-05", "0.0001")
WRONG = "chain 0 has n*beta*K = nan at warm-up step 1, lower sampler.step_size, or n*beta"


def collected(path: Path, jobs: int, *, failing: int = 20, missing: int = 0, pages: bool = True) -> Path:
    """Every `failing`-th job failed, the last `missing` ones have not begun; two measurements a job."""
    of_jobs: list[dict[str, Any]] = []
    of_rows: list[dict[str, Any]] = []
    for index in range(jobs):
        state = "missing" if index >= jobs - missing else "failed" if index % failing == failing - 1 else "completed"
        swept = dict(zip(SWEPT, (str(index // 2), STEPS[index % 2]), strict=True))
        mine = [] if state == "missing" else measured(index, failed=state == "failed")
        of_rows += [{"job": str(index), "state": state, **swept, **cells} for cells in mine]
        of_jobs.append(job(index, state, len(mine)) | swept)
        if pages and state != "missing":
            page(path / str(index))
    table(path / "jobs.csv", (*OF_JOB, *SWEPT), of_jobs)
    table(path / "collected.csv", ("job", "state", *SWEPT, *columns(of_rows)), of_rows)
    return path


def measured(index: int, *, failed: bool) -> list[dict[str, Any]]:
    """A healthy row of auto and one of sgld, which is flagged or has no number."""
    auto = Net(f"net={index}", 9.5, "auto", 9.5, draws=8, warmup=8)
    sgld = auto._replace(sampler="sgld", lam=11.0, flags="rhat;drift", failed=WRONG if failed else "")
    return [row(index, net, "dln") for net in (auto, sgld)]


def job(index: int, state: str, rows: int) -> dict[str, Any]:
    """A line of jobs.csv."""
    begun = state != "missing"
    error = f"every measurement must have a number, got 1 of 2 without; first: {WRONG}" if state == "failed" else ""
    return {
        "job": str(index),
        "folder": str(index),
        "state": state,
        "error": error,
        "overrides": f"task=dln seed={index // 2} sampler.step_size={STEPS[index % 2]}",
        "started": "2026-01-31T12:00:00+00:00" if begun else "",
        "heartbeat": "2026-01-31T12:00:02+00:00" if begun else "",
        "seconds": "1.5" if begun else "",
        "rows": rows,
        "healthy": rows // 2,
    }


def page(folder: Path) -> None:
    """What the sweep's page looks for in a job's folder."""
    git = {"commit": "0123abcd" * 5, "dirty": False, "diff_sha256": None}
    write_json(folder / "run_info.json", {"git": git, "versions": {"llcx": "0.1.0"}, "device": "cpu"})
    (folder / "report.html").write_text("<!doctype html>\n")
