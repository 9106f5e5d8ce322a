"""That tests check shapes and types at all: the checks of closures are shared, and cease after some calls of a test."""

import pytest
import torch
from jaxtyping import TypeCheckError

from llcx import gradients, rng
from llcx.samplers.sgld import SGLD, build
from llcx.types import Chains, Kernel
from tests.conftest import CHECKED

START = torch.zeros(3, 2, dtype=torch.float64)


def kernel(eps: float = 0.1) -> Kernel:
    return build(SGLD(eps), lambda w, batch: (w.sum(1), w))


@pytest.mark.parametrize("again", [False, True])
def test_closures_of_one_code_are_checked_each_and_run_each(again: bool) -> None:
    """In a second test as in the first."""
    noise, small, large = rng.ChainNoise(0, 3), kernel(0.1), kernel(0.4)
    for each in (small, large):
        with pytest.raises(TypeCheckError, match=r"parameters of llcx\.samplers\.sgld\.build.*init"):
            each.init(torch.zeros(2), noise)
    ones = START + 1
    steps = [each.step(each.init(ones, noise), None, rng.ChainNoise(0, 3)).w - ones for each in (small, large, small)]
    assert torch.equal(steps[0], steps[2])
    assert not torch.isclose(steps[0], steps[1]).any()


def test_what_a_function_returns_is_checked() -> None:
    def no_number_a_chain(w: Chains) -> Chains:
        return w

    with pytest.raises(TypeCheckError, match="return value"):
        gradients.of_function(no_number_a_chain, START[0], n=10)


def test_methods_and_functions_are_checked() -> None:
    with pytest.raises(TypeCheckError, match="streams"):
        rng.streams("zero")  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError, match="replicate"):
        rng.streams(0).replicate("one")  # type: ignore[arg-type]


def test_later_calls_are_not_checked() -> None:
    each, noise = kernel(), rng.ChainNoise(0, 3)
    for _ in range(CHECKED):
        each.init(START, noise)
    each.init(torch.zeros(2), noise)
