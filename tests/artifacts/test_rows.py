"""Columns of metrics_summary.csv: coordinates and the answer key."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from llcx.artifacts import rows
from llcx.likelihoods import Gaussian
from llcx.types import Data, Known, Point, Rows, Spec, StatModel


def test_the_known_value_is_local_where_it_is_known() -> None:
    both = rows.answers(Known(2.0, 1, 4.0, lambda nbeta, gamma: 5.0, "x", {"other": 3.0}), 6.0, 10.0, 1.0)
    assert (both["known_llc"], both["rel_error"], both["rel_error_at"]) == (4.0, 0.5, pytest.approx(0.2))
    assert both["known.other"] == 3.0
    assert rows.answers(Known(2.0), 3.0, 10.0, 1.0)["known_llc"] == 2.0
    nothing = rows.answers(Known(), 3.0, 10.0, 1.0)
    assert nothing["known_llc"] is nothing["rel_error"] is nothing["known_from"] is None
    assert rows.answers(Known(0.0), 3.0, 10.0, 1.0)["rel_error"] is None


def test_where_some_parameters_are_frozen_the_answer_is_that_of_the_others_or_none() -> None:
    point = Point("p", {}, StatModel(nn.Linear(1, 1), Gaussian()), Data((), 1), Known(3.0))
    assert rows.key(point, None).lam == 3.0
    assert rows.key(point, frozenset({"weight"})).lam is None
    part = replace(point, restricted=lambda names: Known(len(names) / 2))
    assert rows.key(part, frozenset({"weight"})).lam == 0.5


def test_coordinates_become_columns() -> None:
    found = rows.asked("toy", 3, Spec("p", {"rank": 2}), "hmc", "all")
    assert found == {"task": "toy", "point": "p", "at.rank": 2, "sampler": "hmc", "where": "all", "seed": 3}


def test_the_work_of_minibatches_is_their_share_of_all_rows_and_that_of_closed_forms_is_counted() -> None:
    """4 chains of 100 gradients: on 10 of 50 rows each they are 80 gradients on all rows, without rows 400."""
    batch = (torch.zeros(50, 2), torch.zeros(50, 1))
    for train in (batch, Rows(lambda rows: (batch[0][rows], batch[1][rows]), 50)):
        assert rows.equivalents(_measured(4 * 100 * 10, train)) == 80
    assert rows.equivalents(_measured(0, None)) == 400


def _measured(examples: int, train: object) -> SimpleNamespace:
    estimate = SimpleNamespace(examples=examples, gradients_main=100, draws=torch.zeros(4, 7))
    return SimpleNamespace(estimate=estimate, point=SimpleNamespace(data=Data(train, 50)))
