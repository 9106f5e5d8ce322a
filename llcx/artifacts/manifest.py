"""Where a run came from: command, code, versions, machine."""

import hashlib
import importlib.util
import os
import platform
import shlex
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("llcx", "torch", "numpy", "scipy", "pandas", "pyro-ppl", "hydra-core", "omegaconf", "matplotlib")


def manifest(seed: int, device: str, threads: int) -> dict[str, Any]:
    """The first part of run_info.json."""
    return {
        "schema": 1,
        "command": shlex.join(sys.orig_argv),
        "cwd": os.getcwd(),
        "seed": seed,
        "device": device,
        "threads": threads,
        "git": git(Path(__file__).parents[2]),
        "versions": versions(),
        "machine": {"host": socket.gethostname(), "platform": platform.platform(), "cpus": os.cpu_count()},
    }


def peak_memory() -> float | None:
    """GiB that this process has held at most since it began; None where nothing tells."""
    if importlib.util.find_spec("resource") is None:  # Windows
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB, or bytes on a Mac
    return round(most / 2 ** (30 if sys.platform == "darwin" else 20), 3)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git(root: Path) -> dict[str, Any]:
    """Commit, whether files differ from it, and the hash of that difference; empty for an installed package."""
    if not (root / ".git").exists():
        return {}
    try:
        commit, changes = _ask(root, "rev-parse", "HEAD"), _ask(root, "status", "--porcelain")
        difference = _ask(root, "diff", "HEAD") if commit else ""
    except (OSError, subprocess.TimeoutExpired):
        return {}
    digest = hashlib.sha256(difference.encode()).hexdigest() if difference else None
    return {"commit": commit.strip() or None, "dirty": bool(changes.strip()), "diff_sha256": digest}


def _ask(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, timeout=10, check=False)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
