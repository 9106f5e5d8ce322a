"""Adaptations: the machine itself at the start, only what may move moves, and the cue can be kept back."""

import hashlib
from collections.abc import Mapping
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llcx.tasks.mcl import adapters
from llcx.tasks.mcl.adapters import METHODS, Adaptation
from llcx.tasks.mcl.machine import Machine
from tests.tasks.mcl_machines import built, examples, seeded

SMALL: dict[str, Any] = {"rank": 2, "bottleneck": 3}


def adapted(machine: Machine, method: str, cue: str = "program") -> Machine:
    return adapters.adapted(machine, Adaptation(method, cue, **SMALL), seeded(5))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Of names' values alone, so that a weight which was renamed by a parametrisation keeps it."""
    digests = sorted(hashlib.sha256(value.detach().numpy().tobytes()).hexdigest() for value in tensors.values())
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def fitted(machine: Machine, steps: int = 8) -> tuple[float, float]:
    """Losses before and after."""
    x = examples(6)
    optimizer = torch.optim.Adam(adapters.moving(machine).values(), 2e-2)
    losses = []
    for _ in range(steps + 1):
        loss = F.cross_entropy(machine.predict(x), 3 - x.grids)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses[0], losses[-1]


def weight(machine: Machine, layer: str) -> Tensor:
    found = machine.get_submodule(layer)
    assert isinstance(found, nn.Linear)
    return found.weight


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("encoder", ["recurrent", "transformer"])
def test_it_starts_as_the_machine_itself(method: str, encoder: str) -> None:
    machine, x = built(encoder=encoder), examples(4)
    made = adapted(machine, method)
    assert torch.equal(made(x).logits, machine(x).logits) and torch.equal(made(x).h, machine(x).h)
    assert made is not machine and all(p.requires_grad for p in machine.parameters())


@pytest.mark.parametrize("method", ["lora", "adapter"])
def test_what_is_frozen_does_not_move(method: str) -> None:
    machine = built()
    base = fingerprint(dict(machine.named_parameters()))
    made = adapted(machine, method)
    frozen = {name: p for name, p in made.named_parameters() if not p.requires_grad}
    assert fingerprint(frozen) == base
    before, after = fitted(made)
    assert after < before - 0.01
    assert fingerprint(frozen) == base == fingerprint(dict(machine.named_parameters()))
    assert not torch.equal(made(examples(4)).logits, machine(examples(4)).logits)


def test_a_full_adaptation_moves_all_that_a_prediction_depends_on() -> None:
    machine = built()
    made = adapted(machine, "full")
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    fitted(made)
    still = {name for name, p in made.named_parameters() if torch.equal(p, before[name])}
    assert still == {name for name in before if name.startswith(("sae.", "head."))}
    assert fingerprint(dict(machine.named_parameters())) == fingerprint(before)


def test_how_many_numbers_move() -> None:
    machine = built()  # latent 10, state 11, decoder's first layer 10 -> 9
    assert adapters.trainable(adapted(machine, "lora")) == 2 * (11 + 10) + 2 * (10 + 9)
    assert adapters.trainable(adapted(machine, "adapter")) == 3 * (10 + 1) + 10 * (3 + 1)
    beside = sum(prod(p.shape) for part in (machine.sae, machine.head) for p in part.parameters())
    everything = sum(prod(p.shape) for p in machine.parameters())
    assert adapters.trainable(adapted(machine, "full")) == everything - beside
    assert adapters.trainable(adapted(machine, "lora", "opaque")) == 2 * (11 + 10) + 2 * (10 + 9) + 8


def test_lora_adds_a_matrix_of_low_rank() -> None:
    machine = built()
    made = adapted(machine, "lora")
    fitted(made)
    for name in ("bottleneck.linear", "decoder.first"):
        after, before = (weight(each, name) for each in (made, machine))
        change = (after - before).detach()
        values = torch.linalg.svdvals(change)
        assert values[1] > 1e-6 and values[2] < 1e-12
        part = made.get_submodule(f"{name}.parametrizations.weight.0")
        assert isinstance(part, adapters.LowRank)
        torch.testing.assert_close(change, 8 / 2 * part.b.detach() @ part.a.detach())


@pytest.mark.parametrize("method", METHODS)
def test_an_opaque_cue_keeps_the_program_back(method: str) -> None:
    machine, x, y = built(), examples(4), examples(4, seed=7)
    other = x._replace(types=y.types, params=y.params)
    made = adapted(machine, method, "opaque")
    assert torch.equal(made(other).h, made(x).h) and not torch.equal(machine(other).h, machine(x).h)
    assert "prompt.tokens.weight" in adapters.moving(made)
    before = made.prompt.get_parameter("tokens.weight").detach().clone()
    fitted(made)
    assert not torch.equal(made.prompt.get_parameter("tokens.weight"), before)


def test_it_is_drawn_from_its_generator_alone() -> None:
    machine = built()
    one, same = adapted(machine, "lora"), adapted(machine, "lora")
    other = adapters.adapted(machine, Adaptation("lora", **SMALL), seeded(6))
    assert fingerprint(adapters.moving(one)) == fingerprint(adapters.moving(same))
    assert fingerprint(adapters.moving(one)) != fingerprint(adapters.moving(other))


def test_settings_that_make_no_sense_are_refused() -> None:
    for key, value in (("method", "prefix"), ("cue", "none"), ("rank", 0), ("scale", 0.0), ("cue_steps", 0)):
        with pytest.raises(ValueError, match=rf"task.few_shot.{key} must be"):
            Adaptation(**{key: value})  # type: ignore[arg-type]
