"""Run folders that the tests of figures share; nothing here is written to after it was made."""

import pytest

from llcx import artifacts
from llcx.artifacts import RunFolder
from tests.figures.run_folder import Net, study, write


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """24 networks of two classes, by auto and sgld: 47 numbers of which 3 flagged, and one failure."""
    return artifacts.load(write(tmp_path_factory.mktemp("many"), study(24), metrics=True, errors=True))


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A single measurement with a known value."""
    return artifacts.load(write(tmp_path_factory.mktemp("one"), [Net("dln", 9.48, known=9.5)]))


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """What goes wrong: a negative estimate, a name full of mathematics, an unknown flag, no known value, a failure."""
    nets = [
        Net("negative", -54.0, known=4.0, flags="not_a_minimum;below_baseline"),
        Net("a $5 name_with^odd characters, much too long for a panel", 1000.0, "my_own", 998.0, flags="strange_flag"),
        Net("unknown", 3.0, target="self"),
        *(Net(f"good={lam}", lam, known=lam, draws=1500) for lam in (0.5, 2.0, 30.0)),
        Net("dead", 1.0, failed="NaN in chain 2 at draw 17, $x^2$"),
    ]
    return artifacts.load(write(tmp_path_factory.mktemp("odd"), nets))


@pytest.fixture(scope="session")
def dead(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Nothing but failures."""
    return artifacts.load(
        write(tmp_path_factory.mktemp("dead"), [Net("a", 1.0, failed="NaN"), Net("b", 1.0, failed="NaN")])
    )
