"""States on disk: bit for bit, and unable to execute anything."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from llcx.artifacts import states


def state() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    return {
        "w": torch.randn(2, 3, generator=generator, dtype=torch.float64),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "empty": torch.empty(0, 4),
        "scalar": torch.tensor(3),
        "generator": generator.get_state(),
        "step": 7,
        "loss": 0.1,
        "role": "final",
        "done": True,
    }


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    states.save(tmp_path / "x.pt", state(), step=7)
    found = states.load(tmp_path / "x.pt")
    assert found.keys() == state().keys()
    for key, value in state().items():
        same = (
            torch.equal(value, torch.as_tensor(found[key])) if isinstance(value, torch.Tensor) else value == found[key]
        )
        assert same, key
    assert states.read(tmp_path / "x.pt")["step"] == 7


def test_a_view_does_not_drag_its_storage_to_the_disk(tmp_path: Path) -> None:
    states.save(tmp_path / "x.pt", {"w": torch.zeros(1_000_000)[:2]})
    assert (tmp_path / "x.pt").stat().st_size < 10_000


@pytest.mark.parametrize("bad", [[1], {"a": 1}, None, (1, 2), object()])
def test_a_state_of_anything_else_is_refused(tmp_path: Path, bad: object) -> None:
    with pytest.raises(ValueError, match="state's odd must be a tensor"):
        states.save(tmp_path / "x.pt", {"odd": bad})


def test_a_changed_state_is_noticed(tmp_path: Path) -> None:
    states.save(tmp_path / "x.pt", state())
    found = torch.load(tmp_path / "x.pt", weights_only=True)
    found["state"]["w"][0, 0] += 1e-9
    torch.save(found, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="sha256"):
        states.load(tmp_path / "x.pt")


@pytest.mark.parametrize("keep", [0, 10, -10])
def test_a_cut_off_state_is_refused(tmp_path: Path, keep: int) -> None:
    states.save(tmp_path / "x.pt", state())
    (tmp_path / "x.pt").write_bytes((tmp_path / "x.pt").read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"x\.pt must"):
        states.load(tmp_path / "x.pt")


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_state_that_would_execute_something_does_not(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if how == "torch":
        torch.save({"format": 1, "sha256": "", "state": {"w": Payload()}}, "x.pt")
    else:
        Path("x.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match=r"x\.pt must"):
        states.load(Path("x.pt"))
    assert not Path("executed").exists()


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 99, "state": {}}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="format 1, got 99"):
        states.load(tmp_path / "x.pt")
