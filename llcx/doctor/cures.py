"""Cures: what to change in a run, in words and as overrides, from the numbers of the rows that need it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from llcx.figures import rows, wording
from llcx.figures.rows import Row
from llcx.registry import SAMPLERS

ENOUGH = 45.0  # effective draws to aim at, one and a half times the least that is healthy


class Case(NamedTuple):
    """The rows of one sampler that share a cause, and how the run was configured."""

    rows: Sequence[Row]
    config: Mapping[str, Any]

    @property
    def further(self) -> bool:
        """Whether the rows' sampler is one of those beside the run's own."""
        return self.rows[0].sampler in (self.config.get("samplers") or {})

    @property
    def kernel(self) -> Mapping[str, Any]:
        """The settings of the rows' sampler."""
        return (self.config["samplers"][self.rows[0].sampler] if self.further else self.config.get("sampler")) or {}

    @property
    def unbiased(self) -> bool:
        """Whether the kernel is exact at any step."""
        name = self.kernel.get("name", "")
        if name not in SAMPLERS.names():
            return True
        schema = SAMPLERS.schema(name)
        known = {field.name for field in fields(schema)}
        return bool(schema(**{key: value for key, value in self.kernel.items() if key in known}).unbiased)

    def key(self, name: str) -> str:
        """The full key of a setting of the rows' sampler."""
        return f"{f'samplers.{self.rows[0].sampler}' if self.further else 'sampler'}.{name}"

    def setting(self, path: str) -> Any:
        """A value of config.yaml by its full key; None where there is none."""
        node: Any = self.config
        for name in path.split("."):
            node = node.get(name) if isinstance(node, Mapping) else None
        return node

    def most(self, column: str, default: float) -> float:
        """The greatest number that the rows have in a column."""
        return max((x for row in self.rows if math.isfinite(x := number(row, column))), default=default)


class Cure(NamedTuple):
    """What to do, in words, and the changes of the next command: key -> value as Hydra's overrides have them."""

    words: str
    changes: dict[str, str]


def number(row: Row, column: str) -> float:
    return rows.number(row.raw.get(column, ""))


def longer(case: Case, times: int) -> dict[str, str]:
    """Warm-up and draws, so many times the present ones."""
    present = {"estimator.warmup": case.most("warmup", 100.0), "estimator.draws": case.most("draws", 100.0)}
    return {key: str(times * max(1, int(value))) for key, value in present.items()}


def another_target(case: Case) -> Cure:
    key = next((key for key in ("task.fit.epochs", "task.fit.steps") if case.setting(key)), None)
    brought = case.setting("task.name") == "custom" and case.setting("task.weights") != "trained"
    trained = key and not brought and case.setting("task.model.w_star") in (None, "trained")
    train = f"train longer ({key}={2 * int(case.setting(key))})" if key and trained else "train longer"
    return Cure(
        f"Either {train}, or look for the minimum beside w* (estimator.polish=true, which makes another point), or "
        "measure the self target, for which w* is its own teacher and a minimum by construction. The last one:",
        {"estimator.target": "self"},
    )


def another_baseline(case: Case) -> Cure:
    del case
    words = "Check what the closed form or the loss subtracts; the self target, which is formed by llcx, is zero at w*:"
    return Cure(words, {"estimator.target": "self"})


def float64(case: Case) -> Cure:
    del case
    return Cure("In double precision:", {"hardware.dtype": "float64"})


def smaller_step(case: Case) -> Cure:
    """The calibrated step where one was given; where it was calibrated, a quarter of it and four times the warm-up."""
    if "step_size" not in case.kernel or case.unbiased:
        return arrived(case)
    if case.kernel["step_size"] != "auto":
        words = "Let calibration choose the step, so that its predicted biases are two per cent:"
        return Cure(words, {case.key("step_size"): "auto"})
    step = case.most("step_size", math.nan)
    smaller = {case.key("step_size"): wording.number(step / 4)} if math.isfinite(step) else {}
    words = "A quarter of the calibrated step, four times as long; sampler=hmc, exact at any step, is the other way:"
    return Cure(words, {**smaller, **longer(case, 4)})


def cooler(case: Case) -> Cure:
    """A tenth of n*beta, at a calibrated step."""
    nbeta = case.most("nbeta", math.nan)
    lower = {
        "estimator.nbeta": wording.number(nbeta / 10) if math.isfinite(nbeta) else "{mode: n_over_log_n, beta0: 0.1}"
    }
    step = {} if case.kernel.get("step_size", "auto") == "auto" else {case.key("step_size"): "auto"}
    also = {"control_variate": "=true quiets the gradients near w*", "batch_size": ", larger, helps in proportion"}
    others = "; ".join(f"{case.key(name)}{does}" for name, does in also.items() if name in case.kernel)
    words = "The heating grows with the square of n*beta, so a tenth of it, at a calibrated step, is the surest way"
    return Cure(f"{words}{f' ({others})' if others else ''}:", {**lower, **step})


def arrived(case: Case) -> Cure:
    """Twice as long; four times where a second run disagreed, and the chains themselves did not notice."""
    silent = any({"second_sampler_disagrees", "moved_with_budget"} & set(row.flags) for row in case.rows)
    words = f"{'Four times' if silent else 'Twice'} the present warm-up and draws"
    given = "step_size" in case.kernel and case.kernel["step_size"] != "auto"
    free = {case.key("step_size"): "auto"} if given and not case.unbiased else {}
    return Cure(f"{words}{', at a calibrated step' if free else ''}:", {**longer(case, 4 if silent else 2), **free})


def accepted(case: Case) -> Cure:
    if case.kernel.get("step_size", "auto") != "auto":
        return Cure("Let the step adapt to the acceptance:", {case.key("step_size"): "auto"})
    words = "The step adapts along the warm-up, which was too short, or met another curvature there. Twice the warm-up:"
    return Cure(words, {"estimator.warmup": longer(case, 2)["estimator.warmup"]})


def local_or_basin(case: Case) -> Cure:
    """mode=local where n*beta is free, a tenfold gamma elsewhere."""
    if case.setting("task.data.mode") == "population" and case.setting("estimator.mode") != "local":
        keys = [f"estimator.{name}" for name in ("nbeta", "gamma")]
        words = "This is the basin's value. For the value at w* itself, gamma and n*beta raised together:"
        given = {key: "null" for key in keys if case.setting(key) is not None}
        return Cure(words, {"estimator.mode": "local", **given})
    words = "This is the basin's value. For the value at w* itself, a localiser that holds the chains nearer:"
    return Cure(words, {"estimator.gamma": wording.number(10 * (case.most("gamma", 1.0) or 1.0))})


def more_draws(case: Case) -> Cure:
    """As many as make enough effective ones; more chains where there are few."""
    least = min((ess for row in case.rows if (ess := number(row, "ess")) > 0), default=ENOUGH / 4)
    times = min(10, max(2, math.ceil(ENOUGH / least)))
    draws = {"estimator.draws": str(times * max(1, int(case.most("draws", 100.0))))}
    few = case.most("chains", 4.0) < 4
    words = f"{times} times the draws{', and four chains, since fewer cannot vouch for themselves' if few else ''}:"
    return Cure(words, {**draws, **({"estimator.chains": "4"} if few else {})})


def at_n_over_log_n(case: Case) -> Cure:
    del case
    return Cure("At n/log n it measures the model:", {"estimator.nbeta": "{mode: n_over_log_n, beta0: 1.0}"})


def over(axis: str, values: str) -> Callable[[Case], Cure]:
    """The same point at further values of n*beta or gamma."""
    words = f"Nothing is broken. See how far it goes, and quote the number with its {axis}:"
    return lambda case: Cure(words, {f"estimator.grid.{axis}": values})


def at_another_step(case: Case) -> Cure:
    if "step_size" not in case.kernel:
        return arrived(case)
    return Cure("Compare it with its value at a quarter of the step:", {"estimator.grid.step_size": "[x0.25]"})


def all_rows(case: Case) -> Cure:
    words = (
        "All rows where time allows (sampler=hmc); else a stronger localiser, under which the rows have less to hold:"
    )
    return Cure(words, {"estimator.gamma": wording.number(10 * (case.most("gamma", 1.0) or 1.0))})


def more_time(case: Case) -> Cure:
    """Twice the budget, in its own unit."""
    given = str(case.setting("estimator.budget") or "60s")
    amount = given.rstrip("smh")
    doubled = f"{wording.number(2 * float(amount))}{given[len(amount) :]}"
    return Cure("Twice the time:", {"estimator.budget": doubled})
