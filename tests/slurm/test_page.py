"""docs/slurm.md: what it shows that needs no cluster to be tried."""

import re
from pathlib import Path

import pytest

from llcx.main import main
from tests.running import ROOT

PAGE = (ROOT / "docs" / "slurm.md").read_text()


def test_a_preset_of_ones_own_builds_on_the_one_for_slurm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (preset,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "mine.yaml").write_text(preset)
    words = [
        "hardware.threads=4",
        "+hydra.launcher.additional_parameters={mail-type: END}",
        "--cfg",
        "all",
        "--resolve",
    ]
    assert main(["--config-dir", str(tmp_path), "+cluster=mine", *words]) == 0
    told = capsys.readouterr().out
    asked = ("mode: MULTIRUN", "partition: gpu", "account: lab", "gpus_per_node: 1", "mem_gb: 16", "mail-type: END")
    kept = ("SlurmLauncher", "timeout_min: 240", "signal_delay_s: 120", "max_num_timeout: 20", "cpus_per_task: 4")
    assert all(line in told for line in (*asked, *kept)), told
