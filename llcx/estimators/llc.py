"""The local learning coefficient as a posterior mean, its interval and its verdict.

    lambda_hat = E[n*beta K]                  (Lau et al. 2023, arXiv:2308.12108)
    llc_fluct  = Var(n*beta K)                (a second estimator: dE/dlog(n*beta) = E - Var, both tend to lambda)

The interval is [mu - h(b), mu + h(a) + d], h(x) = sqrt((q s)^2 + (x mu)^2), with q the 97.5 % quantile of Student's t
on C - 1 degrees of freedom and s the larger of the chains' and the autocorrelation's standard error times sqrt(R-hat).
a and b stand for biases. Closed-form losses have a lambda to cover, below which the estimate stays at a finite
temperature: b = 1 %, a = 3 %, and d = 2/log(n*beta), about what a multiplicity of 2 takes away. On data the target is
the posterior mean at this n*beta and gamma: a = b = 2.1 % (1 % at the quantile of 16 chains), d = 0. No multiplicity is
ever added to the estimate itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.diagnostics import checks, ess, one_sided, rhat, standard_error, t_quantile
from llcx.estimators.grid import Grid
from llcx.estimators.places import check_rows, parts
from llcx.registry import ESTIMATORS
from llcx.settings import one_of, real
from llcx.types import Draws, Plan, Potential, Trace

BIAS = {True: (0.01, 0.03), False: (0.0213, 0.0213)}  # whether the loss is exact -> relative, (below, above)
CHECKS = ("off", "quick", "full")


@dataclass(frozen=True)
class LLC:
    """Settings of a measurement; null means: calibrated."""

    nbeta: Any = None  # n*beta: a number, or {mode: n_over_log_n, beta0: 1.0}
    gamma: float | None = None  # strength of the localiser, gamma/2 |w - w*|^2
    target: str | None = None  # data | self
    chains: int | None = None
    draws: int | None = None  # kept draws a chain
    warmup: int | None = None  # kernel steps that are dropped
    every: int | None = None  # kernel steps between kept draws
    where: list[str] | None = None  # parameter-name globs, with slices: only these are sampled
    where_each: Any = None  # further parts, each sampled alone: [globs], {name: globs}; auto: the model's modules
    part: str | None = None  # what the column `where` calls it; null: the globs
    influence: Any = None  # rows whose losses are followed along the chains: how many, or which ones, [3, 17]
    measure_on: str | None = None  # another data set of the task, by name: L is taken on it (data-refined LLC)
    check: str = "quick"  # off | quick | full
    budget: Any = None  # seconds of sampling at most, or "30s", "5m"
    target_se: float | None = None  # nats; the run ends where the standard error is no larger
    polish: bool = False  # measure at the minimum next to w*: argmin L + gamma/(2 n*beta) |w - w*|^2
    mode: str = "basin"  # basin: gamma ~ 1; local: gamma and n*beta raised together
    grid: Grid = field(default_factory=Grid)  # axes of a study: each point at every combination
    name: str = "llc"

    def __post_init__(self) -> None:
        for key in ("chains", "draws", "every"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"estimator.{key} must be >= 1, got {value}; null leaves it to calibration")
        if self.warmup is not None and self.warmup < 0:
            raise ValueError(f"estimator.warmup must be >= 0, got {self.warmup}")
        if self.gamma is not None and not self.gamma >= 0:
            raise ValueError(f"estimator.gamma must be >= 0, got {self.gamma}")
        check_nbeta(self.nbeta)
        check_rows(self.influence)
        parts(self.where_each)
        one_of("estimator.target", self.target, (None, "data", "self"))
        one_of("estimator.check", self.check, CHECKS)
        one_of("estimator.mode", self.mode, ("basin", "local"))
        seconds(self.budget)
        if self.target_se is not None and not self.target_se > 0:
            raise ValueError(f"estimator.target_se must be > 0 nats, got {self.target_se}; null: a fixed run")

    @property
    def place(self) -> str:
        """What is sampled and where L is taken, as the column `where` says it: all, the globs, `all on test`."""
        where = self.part or ("all" if self.where is None else ",".join(self.where))
        return where if self.measure_on is None else f"{where} on {self.measure_on}"


def check_nbeta(nbeta: Any) -> None:
    """Raise ValueError unless `nbeta` is null, a positive number or {mode: n_over_log_n, beta0: number}."""
    if isinstance(nbeta, Mapping):
        if nbeta.get("mode") != "n_over_log_n" or set(nbeta) - {"mode", "beta0"} or not nbeta.get("beta0", 1.0) > 0:
            raise ValueError(f"estimator.nbeta must be {{mode: n_over_log_n, beta0: > 0}}, got {dict(nbeta)}")
    elif nbeta is not None and not (real(nbeta) and 0 < nbeta < float("inf")):
        raise ValueError(f"estimator.nbeta must be a number > 0, null or {{mode: n_over_log_n}}, got {nbeta!r}")


def seconds(budget: Any) -> float | None:
    """`30`, `"30s"`, `"5m"`, `"1h"` -> seconds; None stays None."""
    if budget is None:
        return None
    text = str(budget)
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
    try:
        found = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        found = nan
    if not 0 < found < float("inf"):
        raise ValueError(f"estimator.budget must be seconds > 0 such as 30, 30s or 5m, got {budget!r}")
    return found


@dataclass(frozen=True)
class Estimate:
    """A number, its interval, and whether it can be believed."""

    llc: float  # posterior mean of n*beta*K
    llc_sd: float  # standard deviation over draws
    se: float  # standard error of `llc`
    low: float  # 95 % interval
    high: float
    llc_fluct: float  # Var(n*beta*K)
    nbeta: float
    gamma: float
    target: str
    step_size: float
    rhat: float
    ess: float
    accept: float  # nan for kernels without Metropolis step
    gradients: int  # evaluations a chain: calibration, warm-up, draws and checks
    gradients_main: int  # warm-up and draws alone
    examples: int
    seconds: float  # of sampling
    chains: int
    warmup: int
    flags: tuple[str, ...]
    draws: Trace  # n*beta*K [C, T]
    stopped_by: str = "draws"
    observed: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)  # numbers and texts, by column of metrics_summary.csv

    @property
    def healthy(self) -> bool:
        return not self.flags

    @property
    def running(self) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
        """The estimate over the draws so far and its standard error, [T] each; nan errors for a single chain.

        The errors are those of the spread of the chains' means alone, which holds however correlated the draws are.
        """
        means = self.draws.cumsum(1) / torch.arange(1, self.draws.shape[1] + 1, device=self.draws.device)
        if len(means) == 1:
            return means[0], torch.full_like(means[0], nan)
        return means.mean(0), means.std(0) / len(means) ** 0.5

    def __str__(self) -> str:
        digits = max(0, 2 - len(str(int(abs(self.llc)))) + 1)
        number, low, high = (f"{x:.{digits}f}" for x in (self.llc, self.low, self.high))
        verdict = "healthy" if self.healthy else "flags: " + ", ".join(self.flags)
        how = f"target={self.target}, nbeta={self.nbeta:.0f}, gamma={self.gamma:.3g}"
        return f"lambda {number} [{low}, {high}] (95 %, {how}) {verdict}"


@ESTIMATORS.register("llc", LLC)
def estimate(
    draws: Draws,
    plan: Plan,
    potential: Potential,
    *,
    flags: tuple[str, ...],
    extra_gradients: int,
    beside: Mapping[str, Any],
) -> Estimate:
    """Draws -> Estimate. `flags` and `beside` come from checks outside this run, which `extra_gradients` count."""
    trace = draws.energy
    mu, se = float(trace.mean()), standard_error(trace)
    quantile = t_quantile(trace.shape[0])
    below, above = (
        ((quantile * se) ** 2 + (bias * mu) ** 2) ** 0.5 + draws.allowance for bias in BIAS[potential.exact]
    )
    aim = getattr(plan.sampler, "accept", 0.9)
    raised = checks(draws, exact=potential.exact, parameters=len(potential.at), aim=aim)
    return Estimate(
        llc=mu,
        llc_sd=float(trace.std()),
        se=se,
        low=mu - below,
        high=mu + above + (one_sided(plan.nbeta) if potential.exact else 0.0),
        llc_fluct=float(trace.var()),
        nbeta=plan.nbeta,
        gamma=plan.gamma,
        target=potential.target,
        step_size=draws.step_size,
        rhat=rhat(trace),
        ess=ess(trace),
        accept=nan if draws.accept is None else float(draws.accept.mean()),
        gradients=draws.gradients + extra_gradients,
        gradients_main=draws.gradients,
        examples=draws.examples,
        seconds=draws.seconds,
        chains=trace.shape[0],
        warmup=plan.warmup,
        flags=(*flags, *(flag for flag in raised if flag not in flags)),
        draws=trace,
        stopped_by=draws.stopped_by,
        observed=draws.observed,
        notes=plan.notes,
        beside=beside,
    )
