"""Where training starts, the known solution, conversion, and what never moves."""

import pytest
import torch

from llcx.tasks.attention.modules import FullAttention
from llcx.tasks.full_attn.schema import Model
from llcx.tasks.full_attn.weights import key_query, linear, trained_part
from tests.tasks.full_attention import SMALL, balanced, icl, task
from tests.tasks.networks import points
from tests.tasks.prompts import weights


def started(**model: float) -> FullAttention:
    made = task(model=Model(3, 4, **model))  # type: ignore[arg-type]
    return next(points(made)).model.module  # type: ignore[return-value]


def test_training_starts_small_and_its_values_where_they_are_asked_to() -> None:
    plain, ahead = started(init_scale=0.01), started(init_scale=0.01, init_value=0.3)
    entries = torch.cat([factor.flatten() for factor in plain.parameters()])
    assert entries.std().item() == pytest.approx(0.01, rel=0.3)
    assert torch.equal(plain.W_Q, ahead.W_Q)
    assert torch.equal(started(init_scale=0.02).W_K, 2 * plain.W_K)
    o = trained_part(ahead)[1]
    assert o[-1].item() == pytest.approx(0.3, rel=0.1)
    assert o[:-1].norm() < 0.05


@pytest.mark.parametrize(("d", "d_l", "rank"), [(3, 4, 3), (3, 2, 2), (3, 4, 1)])
def test_the_known_solution_predicts_by_one_step_of_gradient_descent(d: int, d_l: int, rank: int) -> None:
    module = icl(d, d_l, rank).model.module
    X = weights(5, SMALL.context + 1, d + 1, seed=3)
    X[:, -1, -1] = 0
    x, y, query = X[:, :-1, :rank], X[:, :-1, -1:], X[:, -1, :rank]
    step = (x * y).sum(1) / SMALL.context
    torch.testing.assert_close(module(X), (step * query).sum(1))
    assert all(torch.equal(factor, other) for factor, other in zip(*both(module), strict=True))


def both(module: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Left and right factors, equal where they are balanced and U is symmetric."""
    W_Q, W_K, W_V, W_O = module.parameters()
    return [W_Q, W_V], [W_K, W_O]


@pytest.mark.parametrize("d_l", [2, 3, 6])
def test_conversion_keeps_b_in_balanced_factors(d_l: int) -> None:
    module = FullAttention(*(weights(4, d_l, seed=s) for s in range(4)))
    converted = linear(module, 1e-3)
    W_Q, W_K = converted.W_Q, converted.W_K
    torch.testing.assert_close(W_Q @ W_K.T, key_query(module))
    torch.testing.assert_close(W_Q.T @ W_Q, W_K.T @ W_K)
    assert W_Q.shape == (4, d_l)


@pytest.mark.parametrize(("tolerance", "rank"), [(1e-1, 1), (1e-3, 2), (1e-5, 3)])
def test_conversion_cuts_what_is_below_the_tolerance(tolerance: float, rank: int) -> None:
    U, o = torch.zeros(3, 4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    U[:, :3] = torch.diag(torch.tensor([2.0, 2e-2, 2e-4]))
    converted = linear(FullAttention(*balanced(U, o, 5)), tolerance)
    values = torch.linalg.svdvals(converted.W_Q @ converted.W_K.T)
    torch.testing.assert_close(values[:rank], torch.tensor([2.0, 2e-2, 2e-4], dtype=torch.float64)[:rank])
    assert (values[rank:] < 1e-12).all()


def test_two_blocks_of_rows_have_exactly_no_gradient_and_never_move() -> None:
    made = task(model=Model(3, 4))
    (training,) = made.trainings()
    kept = {role: state for event in training.steps(training.start()) for role, state in event.snapshots.items()}
    first, last = ({name: torch.as_tensor(value) for name, value in kept[role].items()} for role in ("init", "final"))
    assert torch.equal(first["W_Q"][-1], last["W_Q"][-1])
    assert torch.equal(first["W_O"][:-1], last["W_O"][:-1])
    assert (first["W_Q"][:-1] != last["W_Q"][:-1]).all()
    assert (first["W_O"][-1] != last["W_O"][-1]).all()
    found = list(points(made))[-1]
    module, (X, y) = found.model.module, found.data.train.take(torch.arange(20))
    (module(X) - y.squeeze(-1)).square().sum().backward()
    of_query, of_output = (module.get_parameter(name).grad for name in ("W_Q", "W_O"))
    assert of_query is not None
    assert of_output is not None
    assert not of_query[-1].any()
    assert not of_output[:-1].any()
    assert of_query[:-1].all()
    assert of_output[-1].all()
