"""Runs devinterp 1.3.2 on a network given by files; accuracy.py starts it with the Python that has devinterp.

    PYTHON benchmarks/peer_devinterp.py PROBLEM.npz ARMS.json OUT.npz

PROBLEM.npz: x [N, D], y [N, E] and layer_0, layer_1, ... [out, into], a linear network at w*. ARMS.json: a list of
{method, lr, localization, nbeta, chains, draws, batch, seed}; nbeta null: devinterp's own helper. OUT.npz: loss_<k>
[chains, draws] minibatch losses in nats an example (nan from where a chain left the numbers), baseline_<k>, nbeta_<k>,
seconds_<k> of the k-th arm.
"""

import json
import sys
import warnings
from time import perf_counter
from typing import Any

import numpy as np
import torch
from devinterp.optim.sgmcmc import SGMCMC  # type: ignore[import-not-found]
from devinterp.slt.sampler import estimate_learning_coeff_with_summary  # type: ignore[import-not-found]
from devinterp.utils import default_nbeta, get_init_loss_full_batch  # type: ignore[import-not-found]
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batch = tuple[Tensor, Tensor]


class Rows(Dataset[Batch]):
    """All rows of a minibatch fetched in one call: the default loader takes them one by one, ten times slower."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.x[rows], self.y[rows]


def fetched(batch: Any) -> Any:
    return batch


def nats(model: torch.nn.Module, batch: Batch) -> Tensor:
    """|y - f|^2 / 2 an example: the likelihood of unit noise."""
    x, y = batch
    return 0.5 * (model(x) - y).square().sum(1).mean()


def network(problem: np.lib.npyio.NpzFile) -> torch.nn.Module:
    weights = [torch.from_numpy(problem[f"layer_{k}"]).float() for k in range(len(problem.files) - 2)]
    layers = [torch.nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
    for layer, w in zip(layers, weights, strict=True):
        layer.weight.data = w
    return torch.nn.Sequential(*layers)


def sampled(model: torch.nn.Module, rows: Rows, arm: dict[str, Any]) -> tuple[np.ndarray, float, float, float]:
    """(losses [C, T], L(w*) on all rows, n*beta, seconds) of one arm."""
    torch.manual_seed(arm["seed"])
    loader = DataLoader(rows, batch_size=arm["batch"], shuffle=True, collate_fn=fetched)
    nbeta = default_nbeta(loader) if arm["nbeta"] is None else arm["nbeta"]
    settings = {"lr": arm["lr"], "localization": arm["localization"], "nbeta": nbeta}
    baseline = get_init_loss_full_batch(loader, model, nats, "cpu")
    begun = perf_counter()
    try:
        found = estimate_learning_coeff_with_summary(
            model,
            loader,
            evaluate=nats,
            sampling_method=getattr(SGMCMC, arm["method"]),
            optimizer_kwargs=settings,
            num_chains=arm["chains"],
            num_draws=arm["draws"],
            init_loss=max(baseline, 1e-30),  # zero would be taken for none
            seed=arm["seed"],
            verbose=False,
        )["loss/trace"]
    except RuntimeError:  # a loss that is not a number
        found = np.full((arm["chains"], arm["draws"]), np.nan)
    return found, baseline, nbeta, perf_counter() - begun


def main(problem_file: str, arms_file: str, out_file: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    problem = np.load(problem_file, allow_pickle=False)
    model = network(problem)
    rows = Rows(torch.from_numpy(problem["x"]).float(), torch.from_numpy(problem["y"]).float())
    with open(arms_file) as file:
        arms = json.load(file)
    names = ("loss", "baseline", "nbeta", "seconds")
    results = [dict(zip(names, sampled(model, rows, arm), strict=True)) for arm in arms]
    arrays: dict[str, Any] = {f"{name}_{k}": found[name] for k, found in enumerate(results) for name in names}
    np.savez(out_file, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
