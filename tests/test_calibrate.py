"""What is chosen, and that what the user chose is kept."""

from dataclasses import replace
from math import log

import pytest
import torch

from benchmarks.problems import NBETA, PROBLEMS
from llcx import calibrate, gradients, rng
from llcx.calibrate import Probes
from llcx.estimators.llc import LLC
from llcx.likelihoods import Gaussian
from llcx.samplers import HMC, SGLD, RMSpropSGLD
from llcx.types import Data, Plan, Potential, StatModel
from tests.problems import noisy_line, powers, quadratic

TWO = torch.tensor([1.0] * 10 + [10.0] * 10, dtype=torch.float64)


def planned(potential: Potential, sampler: object, **wishes: object) -> tuple[Plan, Probes]:
    return calibrate.plan(potential, sampler, LLC(**wishes), rng.streams(0).generator("probes"))  # type: ignore[arg-type]


def on_data(n: int = 400) -> Potential:
    model, data = noisy_line(n)
    return gradients.of_model(StatModel(model, Gaussian(0.5), Gaussian(0.5).kl), Data(data, n), dtype=torch.float64)[0]


def test_the_largest_curvature_is_found() -> None:
    assert planned(quadratic(TWO), HMC())[1].curvature == pytest.approx(10.0, rel=0.02)


def test_a_point_that_is_flat_at_w_star_is_probed_where_draws_will_be() -> None:
    probes = planned(powers(4, 4), HMC(), nbeta=1e4, gamma=0.0)[1]
    assert 1e-3 < probes.curvature < 1.0  # 6 w^2 at |w| ~ (2e-4)^(1/4)


def test_example_gradients_vary_as_the_residuals_say() -> None:
    found = on_data()
    probes = planned(found, SGLD(batch_size=32))[1]
    grads = torch.stack([found.mini(found.at.unsqueeze(0), torch.tensor([[i]]))[1][0] for i in range(400)])  # type: ignore[misc]
    exact = float(torch.linalg.eigvalsh((grads - grads.mean(0)).T @ (grads - grads.mean(0)) / 400)[-1])
    assert 0.5 * exact < probes.noise < 2 * exact


def test_exact_losses_get_hmc_at_a_free_temperature() -> None:
    assert isinstance(calibrate.choose(quadratic(TWO)), HMC)
    plan = planned(quadratic(TWO), HMC())[0]
    assert (plan.nbeta, plan.gamma, plan.chains) == (1e4, 1.0, 32)


def test_data_get_n_over_log_n_and_a_localiser_of_a_third_of_the_norm() -> None:
    found = on_data()
    plan = planned(found, HMC())[0]
    assert plan.nbeta == pytest.approx(400 / log(400))
    assert plan.gamma == pytest.approx(10 * 4 / float(found.at.square().sum()))


def test_a_loss_too_dear_for_full_gradients_gets_sgld() -> None:
    assert isinstance(calibrate.choose(on_data()), HMC)
    assert isinstance(calibrate.choose(replace(on_data(), flops=1e12)), SGLD)


def test_the_users_wishes_are_kept() -> None:
    plan = planned(quadratic(TWO), HMC(step_size=0.3), nbeta=77.0, gamma=0.0, chains=3, warmup=5, draws=7, every=2)[0]
    assert (plan.nbeta, plan.gamma, plan.chains, plan.warmup, plan.draws, plan.every) == (77.0, 0.0, 3, 5, 7, 2)
    assert plan.sampler.step_size == 0.3
    assert not plan.sampler.adapt


def test_an_automatic_step_of_sgld_keeps_its_predicted_biases_small() -> None:
    plan, probes = planned(on_data(), SGLD(batch_size=32))
    assert calibrate.bias_flags(plan, probes) == ()
    hot = replace(plan, sampler=replace(plan.sampler, step_size=5 * plan.sampler.step_size))
    assert set(calibrate.bias_flags(hot, probes)) & {"discretisation", "minibatch_noise"}


def test_without_rows_a_minibatch_kernel_uses_the_exact_gradient_and_says_so() -> None:
    plan = planned(quadratic(TWO), SGLD(batch_size=32))[0]
    assert plan.sampler.batch_size is None
    assert "every gradient is the exact one" in plan.notes[0]


def test_local_mode_raises_temperature_and_localiser_together() -> None:
    assert calibrate.temperature(quadratic(TWO), LLC(mode="local")) == (1e7, 50.0)
    with pytest.raises(ValueError, match=r"estimator\.mode=local needs a population loss"):
        calibrate.temperature(on_data(), LLC(mode="local"))


def test_n_over_log_n_by_name() -> None:
    wish = LLC(nbeta={"mode": "n_over_log_n", "beta0": 2.0})
    assert calibrate.temperature(quadratic(TWO), wish)[0] == pytest.approx(2e4 / log(1e4))


def test_a_small_budget_shortens_the_trajectories() -> None:
    dear = replace(quadratic(TWO), flops=1e8)
    assert planned(dear, HMC(), budget=60)[0].sampler.leapfrog < 48 < planned(dear, HMC())[0].sampler.leapfrog


def test_trajectories_are_longer_where_the_curvature_is_large_and_as_long_as_asked_for() -> None:
    stiff = TWO.clone()
    stiff[0] = 600.0
    plan = planned(quadratic(stiff), HMC())[0]
    assert (plan.sampler.leapfrog, plan.warmup, plan.draws) == (144, 40, 80)
    assert planned(quadratic(TWO), HMC())[0].sampler.leapfrog == pytest.approx(0.2 * (1e4 * 10) ** 0.5, rel=0.1)
    assert planned(quadratic(stiff), HMC(leapfrog=7))[0].sampler.leapfrog == 7
    assert planned(on_data(), HMC())[0].sampler.leapfrog == 12


def test_noisy_minibatches_of_a_population_loss_lower_the_temperature_and_a_control_variate_spares_it() -> None:
    noisy = replace(on_data(100_000), population=True)
    (plain, probes), (quiet, calm) = (
        planned(noisy, SGLD(batch_size=32, control_variate=control)) for control in (False, True)
    )
    assert plain.nbeta == pytest.approx(10 * 32 * probes.curvature / probes.noise)
    assert "n*beta lowered from 1e+04" in plain.notes[0]
    assert calm.noise < 0.1 * probes.noise
    assert quiet.nbeta == 1e4
    assert planned(noisy, SGLD(batch_size=32), nbeta=5e3)[0].nbeta == 5e3


def test_a_step_is_calibrated_in_the_metric_that_a_control_variate_leaves() -> None:
    """Label noise is most of a minibatch's gradient; without it the metric is longer, and stiffer directions are."""
    potential = PROBLEMS["regression"].build(torch.float64, 0.0)
    loud, quiet = (
        planned(potential, RMSpropSGLD(batch_size=32, control_variate=quiet), nbeta=NBETA, gamma=1.0)[1]
        for quiet in (False, True)
    )
    assert loud.stretch < 0.6 * quiet.stretch <= 0.6 / 0.1
    assert loud.curvature < 0.8 * quiet.curvature
