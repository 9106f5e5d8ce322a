"""llcx as a library: the LLC of any module, or of any differentiable potential, in one call."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from llcx import gradients, measure
from llcx.estimators.llc import LLC, Estimate
from llcx.registry import SAMPLERS
from llcx.types import Batch, Data, Flat, Point, StatModel

if TYPE_CHECKING:
    from llcx.artifacts import RunFolder  # needs yaml, which the rest does not


@dataclass(frozen=True)
class _Hardware:
    device: str
    dtype: str
    backend: str = "auto"
    memory: float | None = None


def estimate(
    model: nn.Module,
    data: Any,
    loss: Callable[[Any, Batch], Tensor],
    *,
    forward: Callable[[nn.Module, Batch], Any] | None = None,
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
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}; see llcx.estimate_potential")
    rows = _rows(data)
    if forward is None and not isinstance(rows, tuple | list):
        raise ValueError(f"forward is required for data of type {type(rows).__name__}; give forward(model, batch)")
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
    count = len(tree_leaves(rows)[0])
    stat = StatModel(
        model, _summed(loss, n), getattr(loss, "kl", None), forward=forward, root=getattr(loss, "root", None)
    )
    others = {} if measure_on is None else {"measure_on": _data(measure_on)}
    point = Point("model", {}, stat, Data(rows, count if n is None else n), others=others)
    hardware = _Hardware(str(device or next(model.parameters()).device), dtype)
    with _bars() if progress else nullcontext() as report:
        return measure.measure(point, _record(sampler), wishes, hardware, seed, report, observe=observe).estimate


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
    kernel = _record(sampler)
    at = at.detach().to(measure.precision(kernel, dtype, len(at)))
    found = gradients.of_scalar(potential, at, n=max(3, round(nbeta)))
    wishes = LLC(nbeta=nbeta, gamma=gamma, chains=chains, draws=draws, budget=budget)
    return measure.of_potential(found, kernel, wishes, seed)[0]


def estimate_trajectory(model: nn.Module, checkpoints: Any, data: Any, loss: Any, **settings: Any) -> Any:
    """The LLC at every checkpoint of a training. Not available in this version."""
    raise NotImplementedError(
        "llcx.estimate_trajectory is not available in this version; call llcx.estimate per checkpoint"
    )


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


def _record(sampler: Any) -> Any:
    """A kernel's record from a name or a record."""
    return SAMPLERS.schema(sampler)() if isinstance(sampler, str) else sampler


def _rows(data: Any) -> Batch:
    """A pytree of stacked tensors from tensors, a map-style Dataset or a DataLoader."""
    if isinstance(data, str):
        raise ValueError(
            f"data must be tensors, a map-style Dataset or a DataLoader, got the text {data!r}; load it first"
        )
    if isinstance(data, Tensor):
        raise ValueError("data must be a tuple, list or dict of tensors, a Dataset or a DataLoader, got a tensor; "
                         "wrap it: (x,) or (x, y)")  # fmt: skip
    if isinstance(data, tuple | list | dict) and all(isinstance(leaf, Tensor) for leaf in tree_leaves(data)):
        return data
    dataset = getattr(data, "dataset", data)
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise ValueError(f"data must be tensors, a map-style Dataset or a DataLoader, got {type(data).__name__}")
    collate = getattr(data, "collate_fn", None) or torch.utils.data.default_collate
    rows = collate([dataset[i] for i in range(len(dataset))])
    return tuple(rows) if isinstance(rows, list) else rows


def _data(rows: Any) -> Data:
    """Other data for L, of the same kind; n is the number of its rows."""
    try:
        found = _rows(rows)
    except ValueError as error:
        raise ValueError(f"measure_on must be rows like data: {error}") from error
    return Data(found, len(tree_leaves(found)[0]))


def _summed(loss: Callable[[Any, Batch], Tensor], n: int | None) -> Callable[[Any, Batch], Tensor]:
    """`loss` as nats a row: [B, T] losses are summed over their predictions."""

    def per_row(output: Any, batch: Batch) -> Tensor:
        found = loss(output, batch)
        if found.dim() == 2 and n is None:
            raise ValueError(
                f"n must be given for a loss of shape {list(found.shape)}; it is the number of predictions"
            )
        return found.sum(1) if found.dim() == 2 else found

    return per_row


def _bars() -> Any:
    from llcx.terminal import Terminal  # rich, which the library needs for this alone

    return Terminal()
