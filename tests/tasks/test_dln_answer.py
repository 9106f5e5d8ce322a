"""The answer key: what theory says, at the ranks that w* really has."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx import gradients, theory
from llcx.params import flatten, layout
from llcx.tasks.dln.answer import local, measured
from llcx.tasks.dln.schema import Model, Size
from llcx.types import Point
from tests.tasks.networks import point, points, task, untrained


@pytest.mark.parametrize(("widths", "rank"), [([5, 3, 5], 2), ([4, 6], 2), ([7, 7, 7, 7], 0), ([4] * 5, 1)])
def test_a_balanced_network_is_known_globally_and_locally(widths: list[int], rank: int) -> None:
    known, truth = point(model=Model(widths, rank)).known, theory.dln(widths, rank)
    assert (known.lam, known.local, known.mult) == (float(truth.lam), float(truth.lam), truth.mult)
    assert known.at is not None
    assert known.at(1e4, 1.0) == truth.at(1e4)
    assert known.at(1.0, 1.0) != known.at(1.0, 1.0)  # nan: no expansion there
    assert "Aoyagi" in known.reference


def test_two_layers_are_scored_against_their_own_ranks() -> None:
    known = [p.known for p in points(task(model=Model([6, 5, 4], w_star="layerwise"), nets=30))]
    assert all(k.local is not None and k.lam is not None and k.local >= k.lam for k in known)
    assert any(k.local != k.lam for k in known)  # the published draws are not at the deepest point


def test_an_identity_beside_a_zero_has_a_local_value_above_the_global_one() -> None:
    assert local([8, 8, 8], (8, 0), 0) == theory.RLCT(theory.dln_local([8, 8, 8], 0, 8, 0).lam, 1)
    assert float(theory.dln_local([8, 8, 8], 0, 8, 0).lam) == 32


def test_deeper_networks_are_known_locally_only_where_no_doubt_is_left() -> None:
    widths = [4, 4, 4, 4]
    assert local(widths, (1, 1, 1), 1) == theory.dln(widths, 1)
    assert local(widths, (4, 4, 4), 4) == theory.RLCT(theory.dln(widths, 4).lam, 1)
    assert local(widths, (4, 4, 2), 2) is not None  # a smooth point: the bounds meet
    assert local(widths, (2, 4, 1), 1) is None
    known = [p.known for p in points(task(model=Model(w_star="layerwise"), sizes={"s": Size([3, 5], [3, 6])}, nets=30))]
    assert any(k.local is None for k in known)
    assert all(k.lam is not None and k.at is not None for k in known)


@pytest.mark.parametrize("w_star", ["balanced", "layerwise", "random_svd", "zero"])
def test_no_known_value_exceeds_half_the_number_of_parameters(w_star: str) -> None:
    for found in points(task(model=Model(w_star=w_star), sizes={"s": Size([1, 5], [1, 9])}, nets=25)):
        known, half = found.known, found.coords["parameters"] / 2  # type: ignore[operator]
        assert 0 < known.lam <= half  # type: ignore[operator]
        assert known.local is None or known.lam <= known.local <= half  # type: ignore[operator]


def spectrum(*values: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(values))
    u, v = (torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))[0] for _ in range(2))
    return u @ torch.diag(torch.tensor([*values, *[0.0] * (4 - len(values))], dtype=torch.float64)) @ v


@pytest.mark.parametrize(
    ("layers", "rank", "expected"),
    [
        ([spectrum(3, 2, 1), spectrum(1, 1)], 2, (3, 2)),
        ([spectrum(3, 2, 1, 1e-6), spectrum(1, 1)], 1, (3, 2)),
        ([spectrum(3, 2, 1), spectrum(1, 1e-3)], 1, None),  # neither zero nor not
        ([spectrum(3, 2, 1), spectrum(1, 1, 1)], 1, None),  # no product of rank 1 has such factors: not there yet
        ([spectrum(1, 1)] * 3, 2, None),
    ],
)
def test_trained_ranks_are_measured_across_a_gap_or_not_at_all(layers: Any, rank: int, expected: Any) -> None:
    assert measured(layers, rank) == expected


@pytest.mark.parametrize("w_star", ["balanced", "layerwise", "zero", "random_svd"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_layer_that_moves_alone_has_half_the_rank_of_its_curvature(w_star: str, layer: int) -> None:
    model = Model([4, 3, 5, 3], None if w_star in ("layerwise", "zero") else 2, w_star)
    found = point(seed=3, model=model)
    assert found.restricted is not None
    names = layout(found.model.module)
    positions = names.select([f"{layer}.weight"])
    only = gradients.restrict(gradients.of_model(found.model, found.data, dtype=torch.float64)[0], positions)
    curvature = torch.autograd.functional.hessian(lambda w: only_value(found, positions, w), only.at)
    rank = int(torch.linalg.matrix_rank(curvature, rtol=1e-9))
    assert found.restricted(frozenset({f"{layer}.weight"})).lam == rank / 2


def only_value(found: Point, positions: Tensor, w: Tensor) -> Tensor:
    at = flatten(found.model.module)
    return found.model.closed["data"](at.index_copy(0, positions, w).unsqueeze(0)).sum()


def test_nothing_is_known_where_two_layers_move_or_training_decides() -> None:
    found = point(model=Model([4, 3, 4], 2))
    assert found.restricted is not None
    assert found.restricted(frozenset({"0.weight", "1.weight"})).lam is None
    assert untrained(model=Model([4, 3, 4], 2, "trained")).restricted(frozenset({"0.weight"})).lam is None  # type: ignore[misc]
