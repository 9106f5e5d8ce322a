"""Streams, rows that are functions of their number, and the noise of chains."""

import torch
from scipy import stats

from llcx import rng


def test_a_stream_is_a_function_of_seed_and_role_alone() -> None:
    first = torch.rand(4, generator=rng.streams(3).generator("data"))
    rng.streams(3).generator("init")
    assert torch.equal(first, torch.rand(4, generator=rng.streams(3).generator("data")))


def test_roles_seeds_and_replicates_give_different_numbers() -> None:
    found = {
        float(torch.rand((), generator=streams.generator(role)))
        for streams in (rng.streams(0), rng.streams(1), rng.streams(0).replicate(0), rng.streams(0).replicate(1))
        for role in ("data", "init", "fit", "chains")
    }
    assert len(found) == 16


def test_seeded_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with rng.seeded(rng.streams(0).generator("init")):
        inside = torch.nn.Linear(3, 3).weight.detach().clone()
    assert torch.equal(torch.rand(3), expected)
    with rng.seeded(rng.streams(0).generator("init")):
        assert torch.equal(torch.nn.Linear(3, 3).weight.detach(), inside)


def test_rows_do_not_depend_on_which_others_are_asked_for() -> None:
    key = rng.streams(0).key("x")
    every = rng.counter_normal(key, torch.arange(100), 7)
    some = rng.counter_normal(key, torch.tensor([[99, 3], [42, 3]]), 7)
    assert torch.equal(some, every[torch.tensor([[99, 3], [42, 3]])])
    assert torch.equal(rng.counter_normal(key, torch.arange(100), 3), every[:, :3])


def test_counter_normals_are_standard_normal_and_uncorrelated() -> None:
    z = rng.counter_normal(rng.streams(1).key("x"), torch.arange(40_000), 5)
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    assert float((torch.corrcoef(z.T) - torch.eye(5, dtype=torch.float64)).abs().max()) < 5 / 40_000**0.5
    assert float((z[1:] * z[:-1]).mean(0).abs().max()) < 5 / 40_000**0.5


def test_neighbouring_keys_are_uncorrelated() -> None:
    rows = torch.arange(40_000)
    first, second = (rng.counter_normal(key, rows, 1).squeeze(1) for key in (1, 2))
    assert abs(float((first * second).mean())) < 5 / 40_000**0.5


def test_chain_noise_depends_on_the_chain_and_not_on_its_neighbours() -> None:
    few, many = rng.ChainNoise(0, 2), rng.ChainNoise(0, 5)
    for _ in range(300):  # past several blocks
        assert torch.equal(few.normal(torch.zeros(2, 700)), many.normal(torch.zeros(5, 700))[:2])
        assert torch.equal(few.uniform(), many.uniform()[:2])
        assert torch.equal(few.indices(1000, 64), many.indices(1000, 64)[:2])
        assert few.shared() == many.shared()


def test_chain_noise_is_standard_normal_across_chains_and_steps() -> None:
    noise = rng.ChainNoise(0, 4)
    z = torch.stack([noise.normal(torch.zeros(4, 50, dtype=torch.float64)) for _ in range(200)])
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    assert abs(float((z[1:] * z[:-1]).mean())) < 5 / z[1:].numel() ** 0.5
    assert abs(float((z[:, 1:] * z[:, :-1]).mean())) < 5 / z[:, 1:].numel() ** 0.5


def test_minibatch_indices_cover_the_rows_evenly() -> None:
    idx = torch.cat([rng.ChainNoise(0, 4).indices(10, 5000) for _ in range(1)]).flatten()
    assert stats.chisquare(torch.bincount(idx, minlength=10).numpy()).pvalue > 0.01
