"""run_info.json: where a run came from."""

import subprocess
from pathlib import Path

import pytest
import torch

from llcx.artifacts.manifest import git, manifest, peak_memory


def test_the_manifest_names_the_commit_and_whether_files_differ(tmp_path: Path) -> None:
    assert git(tmp_path) == {}
    run_git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y"]
    (tmp_path / "a").write_text("1")
    for words in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "x", "--no-verify"]):
        subprocess.run([*run_git, *words], check=True)
    clean = git(tmp_path)
    assert (len(clean["commit"]), clean["dirty"], clean["diff_sha256"]) == (40, False, None)
    (tmp_path / "a").write_text("2")
    changed = git(tmp_path)
    assert (changed["commit"], changed["dirty"], len(changed["diff_sha256"])) == (clean["commit"], True, 64)


def test_the_manifest_says_schema_versions_and_seed() -> None:
    found = manifest(3, "cpu", 1)
    assert (found["schema"], found["seed"], found["device"]) == (1, 3, "cpu")
    assert found["versions"]["torch"] == torch.__version__


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_peak_memory_is_in_gib() -> None:
    found, lines = peak_memory(), Path("/proc/self/status").read_text().splitlines()
    (most,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))  # KiB
    assert found is not None
    assert found == pytest.approx(most / 2**20, rel=0.05)
