"""How accurate the default is, on networks whose answer is known."""

from pathlib import Path

import numpy as np
import pytest

from llcx import artifacts
from llcx.main import main


@pytest.mark.slow
def test_the_default_is_accurate_on_random_small_networks_and_its_intervals_hold_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert main(["+experiment=dln_small24", "run.stages=[measure]", f"hydra.run.dir={path}"]) == 0
    frame = artifacts.load(path).frame()
    errors = frame["rel_error"].abs()
    assert len(frame) == 24
    assert errors.median() <= 0.02
    assert errors.quantile(0.9) <= 0.06
    assert frame["healthy"].sum() >= 20
    assert ((frame["low"] < frame["known_llc"]) & (frame["known_llc"] < frame["high"])).sum() >= 21
    assert np.median((frame["high"] - frame["low"]) / 2 / frame["known_llc"]) < 0.06
