"""On a GPU: the numbers of the CPU. Without one, the same path on the processor."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import llcx
from benchmarks import gpu
from benchmarks.speed_models import WORKLOADS
from llcx.main import main
from tests.running import NUMBERS


def test_losses_and_gradients_are_held_against_the_cpu_in_float64() -> None:
    found = gpu.off(WORKLOADS["W1"], torch.device("cpu"))
    assert 1e-9 < found < 1e-4  # float32 has seven digits, and is not float64


@pytest.mark.slow
def test_one_command_prints_the_table_and_refuses_numbers_that_are_not_the_cpus(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--workloads", "W1", "--chains", "2"]
    command += ["--steps", "5", "--repeats", "1", "--out", str(tmp_path / "gpu.csv")]
    good = subprocess.run(command, capture_output=True, text=True)
    bad = subprocess.run([*command, "--tolerance", "1e-12"], capture_output=True, text=True)
    assert good.returncode == 0 and "chain-steps/s" in good.stdout
    assert (tmp_path / "gpu.csv").read_text().startswith("device,workload,chains,off,")
    assert bad.returncode == 1 and "W1: not the numbers of the CPU" in bad.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_gpu_gives_the_losses_and_gradients_of_the_cpu(name: str) -> None:
    assert gpu.off(WORKLOADS[name], torch.device("cuda")) < gpu.TOLERANCE


@pytest.mark.gpu
def test_a_run_on_a_gpu_holds_the_known_value_and_repeats_itself(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main([f"hydra.run.dir={tmp_path / name}", "hardware=cuda", "sampler=sgld", NUMBERS]) == 0
    one, other = (llcx.load(tmp_path / name).frame().iloc[0] for name in ("a", "b"))
    assert one.low <= one.known_llc <= one.high
    assert one.llc == other.llc


@pytest.mark.gpu
def test_an_estimate_moves_model_and_data_by_itself() -> None:
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Linear(4, 1)
    y = model(x).detach()
    found = {
        device: llcx.estimate(model, (x, y), llcx.likelihoods.Gaussian(1.0), gamma=1.0, device=device)
        for device in ("cpu", "cuda")
    }
    assert abs(found["cpu"].llc - found["cuda"].llc) < 0.05 * found["cpu"].llc
