"""llcx as a library: the LLC of any module, or of any differentiable potential, in one call."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from llcx import along, given, gradients, measure
from llcx.estimators.llc import LLC, Estimate
from llcx.types import Flat

if TYPE_CHECKING:
    import pandas

    from llcx.artifacts import RunFolder  # needs yaml, which the rest does not


def estimate(
    model: nn.Module,
    data: Any,
    loss: given.Loss,
    *,
    forward: given.Forward | None = None,
    sampler: Any = "auto",
    nbeta: float | Mapping[str, Any] | None = None,
    gamma: float | None = None,
    n: int | None = None,
    target: str = "data",
    where: Sequence[str] | None = None,
    measure_on: Any = None,
    chains: int | None = None,
    draws: int | None = None,
    budget: float | str | None = None,
    target_se: float | None = None,
    observe: Mapping[str, Callable[[dict[str, Tensor]], Tensor]] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    progress: bool = False,
) -> Estimate:
    """The local learning coefficient of `model` at its current weights w*.

    Args:
        model: module at w*; neither its weights nor its mode are changed (chains run in eval mode, on a copy).
        data: tuple, list or dict of tensors with a common first axis; a map-style Dataset; or a DataLoader, whose
            dataset and collate function are used.
        loss: `(output, batch) -> [B]` nats an example, or `[B, T]` nats a prediction (zeros where masked, `n` given).
            See llcx.likelihoods for losses that also allow target="self".
        forward: `(model, batch) -> output`; by default model(batch[0]), so it is required for dicts.
        sampler: "auto", the name of a kernel, or its record such as llcx.samplers.SGLD(step_size=1e-5, batch_size=256).
        nbeta, gamma: posterior exp(-nbeta L - gamma/2 |w - w*|^2); None: n / log n and 10 P / |w*|^2.
        n: data size; rows by default, the number of predictions where a row holds several.
        target: "data", L - L(w*) on the labels; or "self", KL to the model at w*, minimal there by construction.
        where: parameter-name globs: only these are sampled (restricted LLC).
        measure_on: other rows of the same kind that L is taken on instead (data-refined LLC); n is then their number.
        chains, draws: None leaves them to calibration.
        budget: seconds of sampling, or "30s"; the run is marked when it ends early.
        observe: name -> function of the named parameters of one chain, evaluated at each kept draw.
        device, dtype: the model's device, and float64 for unbiased kernels up to 1e6 parameters, by default.

    Raises:
        ValueError: for settings or data that cannot be used, naming the argument.
        FloatingPointError: where a chain diverges, naming chain and draw.

    >>> import torch, llcx
    >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> y = x @ torch.ones(3, 1)
    >>> model = torch.nn.Linear(3, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> est = llcx.estimate(model, (x, y), llcx.likelihoods.Gaussian(noise_std=0.1), gamma=0.0)
    >>> est.low < 1.5 < est.high  # a regular model: P / 2
    True
    """
    given.checked(model)
    asked = given.given(data, loss, forward=forward, n=n, measure_on=measure_on)
    wishes = LLC(
        nbeta=nbeta,
        gamma=gamma,
        target=target,
        chains=chains,
        draws=draws,
        where=None if where is None else list(where),
        measure_on=None if measure_on is None else "measure_on",
        budget=budget,
        target_se=target_se,
    )
    point, hardware = asked.point(model), given.hardware(model, device, dtype)
    with _bars() if progress else nullcontext() as report:
        return measure.measure(point, given.kernel(sampler), wishes, hardware, seed, report, observe=observe).estimate


def estimate_potential(
    potential: Callable[[Flat], Tensor],
    at: Flat,
    *,
    nbeta: float,
    gamma: float = 1.0,
    sampler: Any = "auto",
    chains: int | None = None,
    draws: int | None = None,
    budget: float | str | None = None,
    seed: int = 0,
    dtype: str = "auto",
) -> Estimate:
    """The LLC of a differentiable potential K(w) >= 0 at its zero `at`.

    Args:
        potential: `w [P] -> K(w)`, a scalar, written so that torch.func.vmap can run it; K(at) is subtracted.
        at: w* [P].
        nbeta, gamma: posterior exp(-nbeta K - gamma/2 |w - w*|^2).
        sampler, chains, draws, budget, seed, dtype: as in `estimate`.

    >>> import torch, llcx
    >>> est = llcx.estimate_potential(lambda w: 0.5 * (w**2).sum(), torch.zeros(8), nbeta=1e4, gamma=0.0)
    >>> est.low < 4 < est.high
    True
    """
    if at.dim() != 1 or not at.is_floating_point():
        raise ValueError(f"at must be a float vector [P], got shape {list(at.shape)} of {at.dtype}; use at.flatten()")
    kernel = given.kernel(sampler)
    at = at.detach().to(measure.precision(kernel, dtype, len(at)))
    found = gradients.of_scalar(potential, at, n=max(3, round(nbeta)))
    wishes = LLC(nbeta=nbeta, gamma=gamma, chains=chains, draws=draws, budget=budget)
    return measure.of_potential(found, kernel, wishes, seed)[0]


def estimate_trajectory(
    model: nn.Module,
    checkpoints: Any,
    data: Any,
    loss: given.Loss,
    *,
    forward: given.Forward | None = None,
    sampler: Any = "auto",
    nbeta: float | Mapping[str, Any] | None = None,
    gamma: float | None = None,
    n: int | None = None,
    target: str = "self",
    where: Sequence[str] | None = None,
    where_each: Sequence[Any] | Mapping[str, Any] | str | None = None,
    measure_on: Any = None,
    chains: int | None = None,
    draws: int | None = None,
    budget: float | str | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: str = "auto",
    cache: Path | str | None = None,
    progress: bool = False,
) -> "pandas.DataFrame":
    """The local learning coefficient at every checkpoint of a training: a row for each, and for each place in it.

    Args:
        model: module that the weights are loaded into, strictly; it is not modified.
        checkpoints: a folder (model_100.pt, step-200.safetensors, checkpoint-300/); a mapping name -> state_dict or
            path; a sequence of state_dicts or paths; an iterator of (step, state_dict). See llcx.checkpoints.
        gamma: None: 10 P / |w|^2 of the first checkpoint, held along the trajectory, so that the model alone changes.
        where_each: parts that are each sampled alone at every checkpoint, a row for each: globs, lists of globs,
            {name: globs}, or "auto", the model's modules.
        cache: folder in which results are kept by the hash of weights, data, loss, settings, seed and code: what was
            measured once is read back without a gradient, whatever changes is measured anew.
        data, loss, forward, sampler, nbeta, n, target, where, measure_on, chains, draws, seed, device, dtype: as in
            `estimate`; target is "self" here, which is defined at every checkpoint.
        budget: of each measurement.

    Returns:
        A DataFrame with the columns llcx.along.COLUMNS: checkpoint, step, where, llc, low, high ...; `change` with its
        95 % interval is that from the last checkpoint, taken chain by chain, and `changed` says that the interval
        leaves out zero. A checkpoint whose chains diverge has a row with flags and without a number.

    Raises:
        ValueError: for checkpoints, settings or data that cannot be used, naming the argument.

    >>> import torch, llcx
    >>> x = torch.linspace(-1, 1, 50).unsqueeze(1)
    >>> model = torch.nn.Linear(1, 1)
    >>> states = {f"step{k}": {"weight": torch.full((1, 1), 0.1 * k), "bias": torch.ones(1)} for k in range(2)}
    >>> found = llcx.estimate_trajectory(model, states, (x, x), llcx.likelihoods.Gaussian(0.5), chains=4, draws=8)
    >>> found[["checkpoint", "step", "changed"]].values.tolist()
    [['step0', 0, False], ['step1', 1, False]]
    """
    given.checked(model)
    settings = along.settings(
        model, data, loss, forward=forward, sampler=sampler, nbeta=nbeta, gamma=gamma, n=n, target=target, where=where,
        where_each=where_each, measure_on=measure_on, chains=chains, draws=draws, budget=budget, seed=seed,
        device=device, dtype=dtype,
    )  # fmt: skip
    with _bars() if progress else nullcontext() as report:
        found = along.Along(settings, None if cache is None else _cache(cache), report)
        return found.through(model, checkpoints)


def load(run_dir: Path | str) -> "RunFolder":
    """The run folder at `run_dir`, for reading, while it is written too; ValueError where there is none.

    `.rows` and `.frame()` are metrics_summary.csv, as text and as a pandas DataFrame; `.metrics()` the training curves;
    `.draws(row)` the arrays of a row: energy n*beta*K [C, T], warmup [C, W], distance [C, T]; `.analysis(stem)`,
    `.config`, `.target_info`, `.run_info` and `.status` the other files.
    """
    from llcx import artifacts

    return artifacts.load(run_dir)


def to_arviz(
    run: "RunFolder | Estimate | Path | str",
    *,
    point: str | None = None,
    sampler: str | None = None,
    where: str | None = None,
    target: str | None = None,
) -> Any:
    """One measurement as arviz.InferenceData: posterior, sample_stats and warmup_posterior, dims chain and draw.

    Args:
        run: a run folder, its path, or what `estimate` returned.
        point, sampler, where, target: cells of metrics_summary.csv that choose the row where there are several.

    Raises:
        ValueError: where they fit no row, or several; it lists the choices.
        ImportError: without the extra arviz.
    """
    from llcx import export

    chosen = {"point": point, "sampler": sampler, "where": where, "target": target}
    if not isinstance(run, Estimate):
        return export.of_run(load(run) if isinstance(run, (Path, str)) else run, **chosen)
    for key, wanted in chosen.items():
        if wanted is not None:
            raise ValueError(f"{key} must be left out with an Estimate, which is one measurement, got {wanted}")
    return export.of_estimate(run)


def _cache(folder: Path | str) -> Any:
    from llcx.artifacts.cache import Cache  # yaml, which the library needs for this alone

    return Cache(folder)


def _bars() -> Any:
    from llcx.terminal import Terminal  # rich, which the library needs for this alone

    return Terminal()
