"""A sweep with made-up jobs, as Hydra and llcx leave it: what `llcx.collect` is tested on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from llcx.artifacts.files import replace, write_json, write_yaml
from tests.figures.run_folder import Net, write

STARTED = "2026-01-31T12:00:00+00:00"
WRONG = "chain 0 has n*beta*K = nan at warm-up step 1, lower sampler.step_size, or n*beta"


def sweep(path: Path, *words: str, params: Mapping[str, str] | None = None) -> Path:
    """multirun.yaml of a sweep that was told `words`."""
    told = {"sweeper": {"params": dict(params or {}) or None}, "overrides": {"task": list(words)}}
    write_yaml(path / "multirun.yaml", {"hydra": told})
    return path


def job(path: Path, *words: str, nets: Sequence[Net] = (), state: str = "completed", error: str = "") -> Path:
    """One job's folder; with an empty state it has no status.json."""
    if nets:
        write(path, nets)
    replace(path / ".hydra" / "overrides.yaml", "".join(f"- {word}\n" for word in words).encode())
    (path / "status.json").unlink(missing_ok=True)
    if state:
        status = {"state": state, "error": error or None, "started": STARTED, "heartbeat": STARTED}
        write_json(path / "status.json", status)
    return path


def steps(path: Path) -> Path:
    """Six jobs over step and seed: two completed (one flagged), one failed, one killed, one empty, one not begun."""
    sweep(path, "task=dln", "sampler=sgld", "sampler.step_size=1e-5,1e-4,1e-3", "seed=0,1")
    told = [("task=dln", "sampler=sgld", f"sampler.step_size={step}", f"seed={seed}")
            for step in ("1e-05", "0.0001", "0.001") for seed in (0, 1)]  # fmt: skip
    net = Net("net=0", 9.3, "sgld", 9.5, draws=8, warmup=8)
    job(path / "0", *told[0], nets=[net, net._replace(point="net=1", lam=9.9)])
    job(path / "1", *told[1], nets=[net._replace(flags="rhat;drift")])
    job(path / "2", *told[2], nets=[net._replace(failed=WRONG)], state="failed", error=f"got 1 of 1 without; {WRONG}")
    job(path / "3", *told[3], nets=[net], state="running")  # without a lock: killed
    (path / "4").mkdir()
    return path
