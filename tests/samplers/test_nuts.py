"""NUTS runs by itself: its law, its adaptation, and that it leaves the global generator alone."""

import pytest
import torch
from torch import Generator

from llcx.samplers.nuts import NUTS, build
from llcx.types import Chains, Index, PerChain
from tests.samplers.chains import Normal
from tests.stats import assert_matches

TWO = torch.tensor([1.0, 9.0], dtype=torch.float64)
ORIGIN = torch.zeros(2, dtype=torch.float64)


@pytest.mark.slow
def test_two_curvatures_hold_half_a_nat_each() -> None:
    sampler, chains = build(NUTS(0.3, adapt=100), Normal(TWO)), []
    for chain in range(8):
        w = sampler.run(ORIGIN, 100, 1500, Generator().manual_seed(chain)).w
        chains.append(0.5 * TWO * w.square())
    for axis in range(2):
        assert_matches(torch.stack(chains)[..., axis], 0.5, rel_se=0.03)


def test_the_step_adapts_where_it_is_asked_to_and_stays_where_not() -> None:
    stays = build(NUTS(0.01, depth=2), Normal(TWO)).run(ORIGIN, 5, 5, Generator().manual_seed(0))
    finds = build(NUTS(0.01, adapt=40), Normal(TWO)).run(ORIGIN, 40, 40, Generator().manual_seed(0))
    assert stays.step_size == 0.01
    assert stays.accept > 0.99
    assert finds.step_size > 0.2
    assert 0.6 < finds.accept < 0.95
    assert finds.w.shape == (40, 2)


def test_draws_follow_from_the_generator_given_and_move_it_on_while_the_global_one_stays() -> None:
    sampler, before = build(NUTS(0.3), Normal(TWO)), torch.random.get_rng_state()
    one, other = Generator().manual_seed(7), Generator().manual_seed(7)
    first, second, third = (sampler.run(ORIGIN, 2, 4, stream).w for stream in (one, other, other))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_target_is_asked_for_one_chain_in_the_dtype_of_its_start() -> None:
    asked = []

    def target(w: Chains, batch: Index | None) -> tuple[PerChain, Chains]:
        asked.append((tuple(w.shape), w.dtype, w.requires_grad, batch))
        return -0.5 * w.double().square().sum(1), -w

    found = build(NUTS(0.3, depth=2), target).run(torch.zeros(3), 1, 2, Generator().manual_seed(0))
    assert set(asked) == {((1, 3), torch.float32, False, None)}
    assert found.w.dtype == torch.float32
