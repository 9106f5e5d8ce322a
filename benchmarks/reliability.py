"""What a run survives: kills, damaged files, bad settings, a full disk, a long chain.

python -m benchmarks.reliability kills --count 20       SIGKILL at random moments, of chains and of trainings
python -m benchmarks.reliability damage --count 1000    states cut, changed, exchanged for pickles
python -m benchmarks.reliability settings --count 2000  random overrides of random keys
python -m benchmarks.reliability disk                   file systems of 64 kB and more (root: it mounts them)
python -m benchmarks.reliability memory                 memory along a chain of 200 000 steps
"""

import argparse
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from rich.console import Console

from llcx import artifacts
from llcx.artifacts import states
from tests.running import comparable, toys_registered
from tests.test_config import OVERRIDES, test_any_overrides_give_records_or_one_line

console = Console()
NUMBERS = ("run.stages=[train,measure,analyse]", "run.verbosity=quiet", "log.checkpoint=0")
LONG = {
    "chains": (
        *("task=dln", "task/size=small", "task.nets=2", "estimator.draws=300", "estimator.check=full"),
        *NUMBERS,
    ),
    "training": ("+experiment=full_attn_tiny", "sampler=sgld", *NUMBERS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(TRIED))
    parser.add_argument("--count", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        TRIED[args.what](Path(place), args.count)


def command(*words: str) -> list[str]:
    return [sys.executable, "train.py", *words]


def kills(place: Path, count: int) -> None:
    """`count` kills of each kind of run; every run that was killed must end as the undisturbed one."""
    for name, words in LONG.items():
        begun = time.monotonic()
        subprocess.run(command(*words, f"hydra.run.dir={place / name}"), check=True)
        length, whole = time.monotonic() - begun, artifacts.load(place / name)
        moments, done, same, runs = random.Random(0), 0, 0, 0
        while done < count:
            folder = place / f"{name} {runs}"
            hit = killed(folder, words, min(5, count - done), length, moments)
            done, runs = done + hit, runs + 1
            same += hit > 0 and equal(whole, artifacts.load(folder))
            console.print(f"{name}: {done} kills so far, {same} of {runs} runs with the same bits")


def killed(folder: Path, words: tuple[str, ...], count: int, length: float, moments: random.Random) -> int:
    """A run that is killed up to `count` times and then ends; how often it was."""
    hits = 0
    while hits < count:
        begun = (folder / "status.json").exists()
        run = subprocess.Popen(command(f"run.resume={folder}") if begun else command(*words, f"hydra.run.dir={folder}"))
        sessions = len(artifacts.RunFolder(folder).run_info.get("sessions", []))
        while len(artifacts.RunFolder(folder).run_info.get("sessions", [])) <= sessions and run.poll() is None:
            time.sleep(0.01)
        try:
            run.wait(moments.uniform(0, length / 3))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
        if run.wait() == 0:
            return hits
        assert run.returncode == -signal.SIGKILL, run.returncode
        hits += 1
    subprocess.run(command(f"run.resume={folder}"), check=True)
    return hits


def equal(one: artifacts.RunFolder, other: artifacts.RunFolder) -> bool:
    """Rows, draws and training curves, bit for bit."""
    if comparable(one.rows) != comparable(other.rows):
        return False
    curves = [each.metrics().drop(columns="time", errors="ignore") for each in (one, other)]
    pairs = [(one.draws(row), other.draws(row)) for row in one.rows]
    return curves[0].equals(curves[1]) and all((a[key] == b[key]).all() for a, b in pairs for key in a)


def damage(place: Path, count: int) -> None:
    """Damaged states: each is refused with a line that names it, or is still the same; none is executed."""
    path, proof = place / "state.pt", place / "executed"
    state: dict[str, Any] = {"w": torch.randn(40, 50), "step": 3, "generator": torch.Generator().get_state()}
    states.save(path, state, step=3)
    sound, chance, found = path.read_bytes(), random.Random(0), Counter[str]()
    for _ in range(count):
        kind = chance.choice(list(DAMAGES))
        path.write_bytes(DAMAGES[kind](sound, chance, proof))
        try:
            back = states.load(path)
        except ValueError as error:
            found[f"{kind}: refused" if str(path) in str(error) else f"{kind}: UNCLEAR {error}"] += 1
        except Exception as error:
            found[f"{kind}: UNCLEAR {type(error).__name__}"] += 1
        else:
            same = states.digest(back) == states.digest(state)
            found[f"{kind}: {'harmless' if same else 'WRONG'}"] += 1
    for kind in sorted(found):
        console.print(f"{kind:30} {found[kind]}")
    console.print(f"executed: {proof.exists()}")


class Execute:
    """What a malicious pickle holds."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


def _flipped(sound: bytes, chance: random.Random, proof: Path) -> bytes:
    del proof
    content = bytearray(sound)
    for _ in range(chance.choice([1, 1, 4, 64])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def _zip_pickle(sound: bytes, chance: random.Random, proof: Path) -> bytes:
    """torch.save's own format around an object that runs code."""
    del sound, chance
    with tempfile.TemporaryFile() as file:
        torch.save({"format": 1, "state": Execute(proof)}, file)
        file.seek(0)
        return file.read()


DAMAGES: dict[str, Callable[[bytes, random.Random, Path], bytes]] = {
    "cut": lambda sound, chance, proof: sound[: chance.randrange(len(sound))],
    "bits flipped": _flipped,
    "block of zeros": lambda sound, chance, proof: (
        sound[: (start := chance.randrange(len(sound) - 512))] + bytes(512) + sound[start + 512 :]
    ),
    "pickle": lambda sound, chance, proof: pickle.dumps(Execute(proof)),
    "torch file with code": _zip_pickle,
    "noise": lambda sound, chance, proof: chance.randbytes(chance.randrange(4000)),
}


def bad_settings(place: Path, count: int) -> None:
    """The property of tests/test_config.py on more cases: records, or one line that names the key."""
    del place
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    tried: list[list[str]] = []

    def case(words: list[str]) -> None:
        tried.append(words)
        test_any_overrides_give_records_or_one_line.hypothesis.inner_test(words)  # type: ignore[attr-defined]

    with pytest.MonkeyPatch.context() as patch:
        for _ in toys_registered(patch):
            settings(max_examples=count, suppress_health_check=checks, database=None)(given(OVERRIDES)(case))()
    console.print(f"{len(tried)} lists of overrides: each gave records, or one line that names the key")


def disk(place: Path, count: int) -> None:
    """A run on file systems of growing size: it ends cleanly, and every file that is there can be read."""
    del count
    for size in (64, 128, 192, 256, 512, 1024, 2048, 4096, 16384):
        with mounted(place / "small", size) as folder:
            run = subprocess.run(
                command("+experiment=dln_tiny", "log.checkpoint=0", f"hydra.run.dir={folder / 'run'}"),
                stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            told = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
            kept = artifacts.RunFolder(folder / "run")
            sound = sum(len(kept.draws(row)["energy"]) > 0 for row in kept.rows if row["llc"])
            states_ = [states.read(path)["format"] for path in (folder / "run").rglob("*.pt")]
            state, left = kept.status.get("state", "none"), list((folder / "run").rglob("*.tmp"))
            told = told or ["no error"]
            console.print(f"{size:6} kB: exit {run.returncode}, {state}, {sound} of {len(kept.rows)} rows with draws,")
            console.print(f"  {len(states_)} states, {len(left)} torn files; {told[0]}", soft_wrap=True)


@contextmanager
def mounted(path: Path, kilobytes: int) -> Iterator[Path]:
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def memory(place: Path, count: int) -> None:
    """Resident memory of a process along one long chain run."""
    del place, count
    code = (
        "import torch, llcx\nfrom llcx import chains, calibrate\nfrom llcx.samplers import SGLD\n"
        "from llcx.types import Plan\nfrom benchmarks.problems import PROBLEMS\n"
        "page = 4096\nseen = []\n"
        "def rss(w):\n"
        "    seen.append(int(open('/proc/self/statm').read().split()[1]) * page / 2**20)\n    return w[:, 0]\n"
        "potential = next(iter(PROBLEMS.values())).build(torch.float64, 0.0)\n"
        "plan = Plan(SGLD(step_size=1e-6, batch_size=None), 1e4, 1.0, 4, 1000, 1000, 200)\n"
        "chains.run(potential, plan, 0, observe={'rss': rss})\n"
        "print(*(f'{seen[k]:.1f}' for k in (10, 100, 500, 999)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    console.print(f"MiB at draws 10, 100, 500, 999 of 1000, 200 steps apart: {found.strip()}")


TRIED: dict[str, Callable[[Path, int], None]] = {
    "kills": kills,
    "damage": damage,
    "settings": bad_settings,
    "disk": disk,
    "memory": memory,
}

if __name__ == "__main__":
    main()
