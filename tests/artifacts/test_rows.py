"""Columns of metrics_summary.csv: coordinates and the answer key."""

from dataclasses import replace

import pytest
from torch import nn

from llcx.artifacts import rows
from llcx.likelihoods import Gaussian
from llcx.types import Data, Known, Point, Spec, StatModel


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
