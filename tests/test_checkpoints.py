"""Weights of others: read without running them, found by their numbers, loaded whole or not at all."""

import builtins
import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llcx import checkpoints


class Unsafe:
    """What a pickle may not bring: its reading would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.exec, ("raise SystemExit('it ran')",)


class Tied(nn.Module):
    """Two names of one parameter, a buffer, and a frozen parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3, bias=False)
        self.outer = nn.Linear(3, 3)
        self.outer.weight = self.inner.weight
        self.norm = nn.BatchNorm1d(3)
        self.norm.weight.requires_grad_(False)


def weights(value: float = 1.0) -> dict[str, Tensor]:
    return {"weight": torch.full((2, 3), value), "bias": torch.arange(2.0)}


def same(first: Any, second: Any) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in second)


@pytest.mark.parametrize("suffix", checkpoints.TORCH)
@pytest.mark.parametrize("holder", ["", *checkpoints.HOLDERS])
def test_a_state_dict_is_read_bare_or_under_a_usual_key(tmp_path: Path, suffix: str, holder: str) -> None:
    held: Any = OrderedDict(weights())
    torch.save({holder: held, "step": 3, "optimizer": {"lr": 0.1}} if holder else held, tmp_path / f"a{suffix}")
    assert same(checkpoints.read(tmp_path / f"a{suffix}"), weights())


def test_safetensors_are_read(tmp_path: Path) -> None:
    files = pytest.importorskip("safetensors.torch", reason="the extra safetensors is not installed")
    files.save_file(weights(), tmp_path / "a.safetensors")
    assert same(checkpoints.read(str(tmp_path / "a.safetensors")), weights())
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(ValueError, match=r"must be a whole safetensors file, got .*a\.safetensors"):
        checkpoints.read(tmp_path / "a.safetensors")


def test_without_the_extra_safetensors_are_refused_by_its_name(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(ImportError, match=r"pip install 'llcx\[safetensors\]'"):
        checkpoints.read(tmp_path / "a.safetensors")


def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": weights(), "hook": Unsafe()}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="must hold tensors and plain values alone"):
        checkpoints.read(tmp_path / "a.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be a file that exists, got .*none"):
        checkpoints.read(tmp_path / "none.pt")
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"must end in \.pt, \.pth"):
        checkpoints.read(tmp_path / "a.txt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match=r"cut\.pt"):
        checkpoints.read(tmp_path / "cut.pt")
    torch.save({"optimizer": {"lr": 0.1}, "step": 3}, tmp_path / "o.pt")
    with pytest.raises(ValueError, match="got one with optimizer, step"):
        checkpoints.read(tmp_path / "o.pt")
    torch.save(torch.zeros(3), tmp_path / "t.pt")
    with pytest.raises(ValueError, match="got a Tensor"):
        checkpoints.read(tmp_path / "t.pt")
    with pytest.raises(ValueError, match=r"a folder that holds model\.safetensors"):
        checkpoints.read(tmp_path)


def test_a_checkpoint_in_shards_is_put_together(tmp_path: Path) -> None:
    parts = {"weight": "pytorch_model-1-of-2.bin", "bias": "pytorch_model-2-of-2.bin"}
    for name, file in parts.items():
        torch.save({name: weights()[name]}, tmp_path / file)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": parts}))
    assert same(checkpoints.read(tmp_path), weights())


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("model_100", 100),
        ("step-2000", 2000),
        ("checkpoint-500", 500),
        ("epoch=3-step=1200", 1200),
        ("epoch_03", 3),
        ("step2000_loss0.35", 2000),
        ("resnet18_7", 7),
        ("iteration5", 5),
        ("best", None),
    ],
)
def test_the_number_of_a_name(name: str, step: int | None) -> None:
    assert checkpoints.number(name) == step


def test_a_folder_is_sorted_by_numbers_and_not_by_letters(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        torch.save(weights(step), tmp_path / f"model_{step}.pt")
    (tmp_path / "checkpoint-50").mkdir()
    torch.save(weights(50), tmp_path / "checkpoint-50" / "pytorch_model.bin")
    torch.save({"lr": 1.0}, tmp_path / "optimizer.pt")  # without a number
    (tmp_path / "logs-7").mkdir()  # no checkpoint
    found = checkpoints.found(tmp_path)
    assert [(each.name, each.step) for each in found] == [
        ("model_3", 3),
        ("model_20", 20),
        ("checkpoint-50", 50),
        ("model_100", 100),
    ]
    assert [float(checkpoints.read(each.path)["weight"][0, 0]) for each in found] == [3, 20, 50, 100]  # type: ignore[index]


def test_a_folder_that_leaves_doubt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a folder that exists, got .*none"):
        checkpoints.found(tmp_path / "none")
    torch.save(weights(), tmp_path / "best.pt")
    with pytest.raises(ValueError, match=r"with a number in their names .* with best\.pt; or give a mapping"):
        checkpoints.found(tmp_path)
    torch.save(weights(), tmp_path / "model_1.pt")
    torch.save(weights(), tmp_path / "optimizer_1.pt")
    with pytest.raises(ValueError, match=r"different numbers in their names, got model_1\.pt and optimizer_1\.pt"):
        checkpoints.found(tmp_path)


@pytest.mark.parametrize("prefix", ["", *checkpoints.WRAPPERS, "module._orig_mod."])
def test_weights_go_into_a_module_whatever_wrapped_it(prefix: str) -> None:
    module, other = Tied(), Tied()
    nn.init.constant_(other.inner.weight, 7.0)
    checkpoints.into(module, {f"{prefix}{name}": value for name, value in other.state_dict().items()})
    assert same(module.state_dict(), other.state_dict())
    assert module.outer.weight is module.inner.weight


def test_one_name_of_a_tied_parameter_is_enough() -> None:
    module, state = Tied(), Tied().state_dict()
    del state["outer.weight"]
    checkpoints.into(module, state)
    assert torch.equal(module.outer.weight, state["inner.weight"])


def test_a_name_too_many_too_few_or_too_large_is_told_and_changes_nothing() -> None:
    module = nn.Linear(3, 2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ValueError, match="missing: bias; unexpected: scale; of another shape: weight ") as error:
        checkpoints.into(module, {"weight": torch.ones(2, 4), "scale": torch.ones(1)})
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"missing: bias$"):
        checkpoints.into(module, {"weight": torch.ones(2, 3)})
    assert same(module.state_dict(), before)
