"""Rows that are functions of their number, whatever the tree that they come in."""

from typing import Any

import pytest
import torch
from torch import Tensor

from llcx.tasks import rows
from llcx.tasks.rows import Kept, batches, blocks, check_covariance, covariance, held, stored
from llcx.types import Data, Rows


class Squares:
    """Two leaves in a dictionary, one a number a row; it notes how many rows each call asks for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, numbers: Tensor) -> dict[str, Tensor]:
        self.asked.append(numbers.numel())
        wide = numbers.double().unsqueeze(-1) * torch.arange(6, dtype=torch.float64)
        return {"square": numbers.double() ** 2, "table": wide.unflatten(-1, (2, 3))}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_stored_rows_are_those_on_demand_and_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK", 70)
    take = Squares()
    same(stored(take, 25), Squares()(torch.arange(25)))
    assert take.asked == [1, 1, 10, 10, 5]  # two looks at the first row's shape, then blocks of 70 // 7 rows


def test_kept_rows_are_computed_until_as_many_were_asked_for_as_there_are() -> None:
    take = Squares()
    kept = Kept(take, 20)
    some = torch.tensor([[7, 3], [19, 7]])
    on_demand = kept(some), kept(torch.arange(16))
    assert take.asked == [4, 16]
    from_table = kept(some), kept(torch.arange(16))
    assert take.asked[2:] == [1, 1, 20]
    same(on_demand[0], from_table[0])
    same(on_demand[1], from_table[1])


@pytest.mark.parametrize(
    ("mode", "room", "kind"),
    [("noisy", 10**6, dict), ("population", 10**6, Kept), ("noisy", 10, Squares), ("population", 10, Squares)],
)
def test_rows_are_held_as_their_mode_and_size_ask_for(
    mode: str, room: int, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "STORED_UP_TO", room)
    found = held(Squares(), 30, mode)
    assert (found.n, found.mode) == (30, mode)
    if isinstance(found.train, Rows):
        assert found.train.total == 30
        assert isinstance(found.train.take, kind)
    else:
        assert isinstance(found.train, kind)


@pytest.mark.parametrize("on_demand", [False, True])
def test_batches_hold_every_row_once_and_in_order(on_demand: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK", 70)
    take = Squares()
    parts = list(batches(Data(Rows(take, 25) if on_demand else stored(take, 25), 25)))
    assert [len(part["square"]) for part in parts] == ([10, 10, 5] if on_demand else [25])
    whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    same(whole, stored(take, 25))


def test_a_row_wider_than_a_block_is_still_computed() -> None:
    assert [len(block) for block in blocks(3, rows.BLOCK + 1)] == [1, 1, 1]


@pytest.mark.parametrize("given", [None, [1.0, 2.0], [1, 2], [[2, 1], [1, 2]], [[2.0, 1.0], [1.0, 2.0]]])
def test_a_covariance_may_be_none_eigenvalues_or_a_matrix(given: Any) -> None:
    check_covariance(given, 2, "task.model.d")
    wanted = None if given is None else torch.tensor(given, dtype=torch.float64)
    found = covariance(given, 2)
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        assert torch.equal(found, wanted if wanted.dim() == 2 else torch.diag(wanted))


@pytest.mark.parametrize("given", [[3.0], [[3.0]]])
def test_the_covariance_of_one_input_is_a_number_or_a_matrix_of_one(given: Any) -> None:
    check_covariance(given, 1, "task.model.d")
    found = covariance(given, 1)
    assert found is not None
    assert torch.equal(found, torch.tensor([[3.0]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([1, 2, 3], r"2 positive eigenvalues or a 2 x 2 matrix, got \[1, 2, 3\]; 2 is .* task.model.d"),
        ("wide", "got wide; 2 is the width"),
        ([1, 0], "eigenvalues must be > 0"),
        ([1, float("nan")], "2 positive eigenvalues"),
        ([True, True], "2 positive eigenvalues"),
        ([[1, 0], [0]], "2 positive eigenvalues"),
        ([[1, 0.5], [0.4, 1]], "a covariance is symmetric"),
        ([[1, 2], [2, 1]], r"positive definite, got \[\[1, 2\], \[2, 1\]\]; add to its diagonal"),
    ],
)
def test_what_is_no_covariance_is_refused_with_its_cure(given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=f"task.data.covariance must be .*{told}"):
        check_covariance(given, 2, "task.model.d")
