"""What the checks of a measurement let through, and what they stop without reason."""

from pathlib import Path

import pytest
import torch

from benchmarks import sabotage
from benchmarks.problems import PROBLEMS
from benchmarks.sabotage import Outcome, cases, run
from benchmarks.spoiling import KINDS, spoiled
from llcx.estimators.llc import LLC
from llcx.measure import of_potential
from llcx.samplers import HMC, SGLD

ALL = list(PROBLEMS)


def test_a_third_of_the_runs_are_good_and_every_kind_is_among_the_others() -> None:
    found = cases(30, ALL, ["hmc", "sgld"], KINDS)
    assert len(set(found)) == 30
    assert sum(case.kind == "good" for case in found) == 10
    assert {case.kind for case in found} == {"good", *KINDS}


def test_the_first_runs_do_not_depend_on_how_many_follow() -> None:
    assert cases(60, ALL, ["hmc", "sgld"], KINDS)[:30] == cases(30, ALL, ["hmc", "sgld"], KINDS)


def test_a_wrong_baseline_shifts_every_loss_and_no_gradient() -> None:
    problem = PROBLEMS["tanh_rows"]
    good, bad = (spoiled(kind, "hmc", problem, seed=0).potential for kind in ("good", "baseline"))
    w = good.at.repeat(3, 1) + 0.1
    shift = problem.nbeta * (bad.value(w) - good.value(w))
    torch.testing.assert_close(shift, torch.full((3,), 0.5 * problem.answer, dtype=torch.float64))
    torch.testing.assert_close(bad.full(w)[1], good.full(w)[1])


def test_a_moved_point_lies_as_much_higher_as_its_seed_says() -> None:
    problem = PROBLEMS["dln_shallow"]
    good, bad = (spoiled(kind, "hmc", problem, seed=2).potential for kind in ("good", "moved"))
    assert float(problem.nbeta * good.value(bad.at[None])) == pytest.approx(problem.answer, rel=1e-6)
    assert abs(float(bad.value(bad.at[None]))) < 1e-12


def test_the_first_chain_of_a_dead_run_stays_at_its_start_and_the_others_move() -> None:
    given = spoiled("dead_chain", "hmc", PROBLEMS["quadratic"], seed=0)
    assert given.wishes == {"chains": 4}
    with given.broken:
        _, _, draws = of_potential(given.potential, given.sampler, LLC(chains=4, warmup=2, draws=4), 0)
    assert torch.equal(draws.last[0], given.potential.at)
    assert (draws.last[1:] != given.potential.at).all()


def test_a_sabotaged_step_is_a_multiple_of_the_calibrated_one() -> None:
    steps = [spoiled(f"step_x{k}", "sgld", PROBLEMS["quadratic"], 0).sampler.step_size for k in (3, 10)]
    assert steps[1] == pytest.approx(steps[0] * 10 / 3)
    assert isinstance(spoiled("good", "sgld", PROBLEMS["quadratic"], 0).sampler, SGLD)
    assert isinstance(spoiled("labels", "hmc", PROBLEMS["regression"], 0).sampler, HMC)


def test_no_number_counts_as_wrong_and_as_flagged() -> None:
    assert Outcome("quadratic", "hmc", "good", 0, 6.0).wrong
    assert Outcome("quadratic", "hmc", "good", 0, 6.0).flagged
    assert not Outcome("quadratic", "hmc", "good", 0, 6.0, llc=6.3, error=0.05, flags="").wrong


def test_quick_is_full_without_what_full_adds(tmp_path: Path) -> None:
    flags = "rhat;second_sampler_disagrees;moved_with_budget"
    found = [Outcome("quadratic", name, "good", 0, 6.0, llc=6.3, error=0.05, flags=flags) for name in ("hmc", "sgld")]
    sabotage.write(tmp_path / "runs.csv", found)
    again = sabotage.read([tmp_path / "runs.csv"])
    assert [(each.sampler, each.llc, each.flags) for each in again] == [("hmc", 6.3, flags), ("sgld", 6.3, flags)]
    assert [sabotage.as_quick(each).flags for each in again] == ["rhat", "rhat;second_sampler_disagrees"]


@pytest.mark.slow
def test_no_wrong_number_of_thirty_runs_passes_the_quick_checks() -> None:
    found = [run(case, "quick") for case in cases(30, ALL, ["hmc", "mala", "sgld", "sghmc", "mclmc"], KINDS)]
    assert [sabotage.line(each) for each in found if each.wrong and not each.flagged] == []
    good = [each for each in found if each.kind == "good" and not each.wrong]
    assert len(good) >= 9
    assert [sabotage.line(each) for each in good if each.flagged][1:] == []  # one false alarm of ten
