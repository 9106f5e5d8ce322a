"""llcx.load and llcx.to_arviz: one measurement in the form that other tools read, its diagnostics those of our own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import llcx
from llcx import artifacts, diagnostics, export
from llcx.registry import SAMPLERS
from tests.figures.run_folder import Net, write

pytestmark = pytest.mark.filterwarnings(r"ignore:\s*ArviZ is undergoing:FutureWarning")  # its news of the day
NETS = [
    Net("net=0", 4.0, "auto", known=4.0),
    Net("net=0", 5.0, "sgld", chains=2, draws=30),
    Net("net=1", 9.0, "auto"),
    Net("net=2", 9.0, "auto", failed="it diverged"),
]
QUICK = {"nbeta": 100.0, "chains": 2, "draws": 8}


@pytest.fixture
def arviz() -> Any:
    return pytest.importorskip("arviz", reason="the extra arviz is not installed")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path, NETS)


def test_a_run_is_loaded_by_its_path_or_refused(run: Path) -> None:
    folder = llcx.load(str(run))
    assert [row["point"] for row in folder.rows] == [net.point for net in NETS]
    assert folder.frame()["known_llc"].tolist()[0] == 4.0
    assert folder.draws(folder.rows[1])["energy"].shape == (2, 30)
    with pytest.raises(ValueError, match=r"the run folder must hold status\.json or"):
        llcx.load(run / "draws")


def test_a_row_becomes_inference_data(arviz: Any, run: Path) -> None:
    found = llcx.to_arviz(run, point="net=0", sampler="auto")
    row = llcx.load(run).rows[0]
    draws = llcx.load(run).draws(row)
    assert isinstance(found, arviz.InferenceData)
    assert found.posterior["energy"].dims == ("chain", "draw")
    assert np.array_equal(found.posterior["energy"], draws["energy"])
    assert np.array_equal(found.posterior["distance"], draws["distance"])
    assert np.array_equal(found.warmup_posterior["energy"], draws["warmup"])
    assert found.sample_stats["acceptance_rate"].dims == ("chain",)
    assert float(found.posterior["energy"].mean()) == pytest.approx(found.attrs["llc"], rel=1e-12)
    assert {key: found.attrs[key] for key in ("nbeta", "gamma", "llc", "low", "high")} == {
        key: float(row[key]) for key in ("nbeta", "gamma", "llc", "low", "high")
    }
    assert (found.attrs["target"], found.attrs["known_llc"], found.attrs["healthy"]) == ("data", 4.0, 1)
    assert "llc_second" not in found.attrs  # unknown


def test_the_row_must_be_the_only_one_that_fits(arviz: Any, run: Path) -> None:
    assert llcx.to_arviz(llcx.load(run), sampler="sgld").posterior["energy"].shape == (2, 30)
    for chosen, told in (
        ({}, "point must be one of net=0, net=1, got nothing; 3 measurements fit"),
        ({"point": "net=0"}, "sampler must be one of auto, sgld, got nothing; 2 measurements fit"),
        ({"point": "net=7"}, "point must be one of net=0, net=1, got net=7"),
        ({"point": "net=1", "sampler": "sgld"}, "sampler must be one of auto, got sgld"),
        ({"point": "net=2"}, "point must be one of net=0, net=1, got net=2"),  # it has no number
    ):
        with pytest.raises(ValueError, match=told):
            llcx.to_arviz(run, **chosen)


def test_a_run_without_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must hold a measurement with a number, got none"):
        llcx.to_arviz(write(tmp_path, NETS[-1:]))


@pytest.mark.parametrize("apart", [0.0, 3.0])
def test_r_hat_and_effective_sample_size_are_those_of_arviz(arviz: Any, apart: float) -> None:
    """Four chains AR(1) of 0.7, whose effective size is 0.3 / 1.7 of their length, or one of them elsewhere."""
    noise = np.random.default_rng(0).standard_normal((4, 4000))
    for step in range(1, noise.shape[1]):
        noise[:, step] += 0.7 * noise[:, step - 1]
    noise[0] += apart
    trace = torch.from_numpy(noise)
    found = export.inference_data({"energy": noise}, {}, {}, {}).posterior
    theirs, ours = float(arviz.rhat(found, method="split")["energy"]), diagnostics.rhat(trace)
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert (ours > 1.1) == (apart > 0)
    if not apart:
        assert diagnostics.ess(trace) == pytest.approx(float(arviz.ess(found, method="mean")["energy"]), rel=0.05)
        assert diagnostics.ess(trace) == pytest.approx(0.3 / 1.7 * noise.size, rel=0.15)


def test_what_estimate_returned_is_taken_with_what_it_observed(arviz: Any) -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    data = (torch.eye(2).repeat(20, 1), torch.zeros(40, 1))
    kernel = SAMPLERS.schema("hmc")(step_size=0.05, leapfrog=3)
    estimate = llcx.estimate(
        model, data, llcx.likelihoods.Gaussian(1.0), sampler=kernel, observe={"weight": lambda w: w["weight"]}, **QUICK
    )
    found = llcx.to_arviz(estimate)
    assert np.array_equal(found.posterior["energy"], estimate.draws)
    assert found.posterior["weight"].dims == ("chain", "draw", "weight_dim_0", "weight_dim_1")
    assert found.attrs["llc"] == estimate.llc
    assert found.attrs["flags"] == ";".join(estimate.flags)
    with pytest.raises(ValueError, match="point must be left out with an Estimate"):
        llcx.to_arviz(estimate, point="net=0")


def test_inference_data_goes_through_a_file(arviz: Any, run: Path, tmp_path: Path) -> None:
    found = llcx.to_arviz(run, point="net=1")
    found.to_netcdf(str(tmp_path / "net.nc"))
    again = arviz.from_netcdf(str(tmp_path / "net.nc"))
    assert np.array_equal(again.posterior["energy"], found.posterior["energy"])
    assert {key: again.attrs[key] for key in ("llc", "flags", "healthy")} == {
        "llc": found.attrs["llc"],
        "flags": "",
        "healthy": 1,
    }
    assert list(arviz.summary(again).index) == ["energy", "distance"]


def test_without_the_extra_its_name_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(export, "import_module", missing)
    with pytest.raises(ImportError, match=r"to_arviz must have the extra arviz, got no arviz; pip install .*\[arviz\]"):
        llcx.to_arviz(artifacts.load(run), point="net=1")
