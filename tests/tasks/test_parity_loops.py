"""Kernels and ensembles against the loops that they replace."""

import pytest

from benchmarks import loops, parity


@pytest.mark.parametrize("layers", [1, 3])
def test_the_loops_give_the_same_kernels_and_the_same_trainings(layers: int) -> None:
    asked = parity.settings(["--rows", "24", "--width", "10", "--members", "3", "--layers", str(layers)])
    of = parity.case(asked)
    for line in parity.grams(of):
        assert float(line.split()[-1]) < 1e-12
    for member, found in enumerate(parity.ensemble(of, 60)):
        wanted = parity.looped(of, member, 60)
        assert found.t == pytest.approx(wanted.t, rel=1e-12)
        assert float((found.w - wanted.w).norm() / (wanted.w - of.starts[member]).norm()) < 1e-6


def test_the_comparison_rejects_another_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    of = parity.case(parity.settings(["--rows", "24", "--width", "10", "--members", "1"]))
    (found,) = parity.ensemble(of, 60)
    monkeypatch.setattr(parity, "FLOW", parity.Flow(max_dgrad=1e-3))
    assert found.t != pytest.approx(parity.looped(of, 0, 60).t, rel=0.1)


def test_groups_of_parameters_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    of = parity.case(parity.settings(["--rows", "6", "--width", "4"]))
    x, chain = of.strings[0].x_train, loops.Chain(of.network, of.starts[0])
    whole = loops.gram(chain, x[:2], x[2:])
    monkeypatch.setattr(loops, "BUDGET", 8 * 6 * 10)
    assert parity.difference(loops.gram(chain, x[:2], x[2:]), whole) < 1e-14
