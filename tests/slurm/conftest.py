"""One cluster for the tests of a process (with pytest's `-n4` there are four), and sweeps on it."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.sweeps import Sweep, start


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if missing := Cluster.missing():
        pytest.skip(f"no {', '.join(missing)} here")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, Cluster(Path(folder)) as started, terminable():
        yield started


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM, as of a command that took too long, ends the tests in order: what they started would outlive them."""
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def submit(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    """Starts a sweep in tmp_path/sweep; one that a failed test leaves behind is ended."""
    started: list[Sweep] = []

    def submit(*words: str, unused: bool = False) -> Sweep:
        started.append(start(cluster, tmp_path / "sweep", *words, unused=unused))
        return started[-1]

    yield submit
    for sweep in started:
        if sweep.process.poll() is None:
            sweep.process.kill()
            sweep.process.communicate()
            cluster.clear()
