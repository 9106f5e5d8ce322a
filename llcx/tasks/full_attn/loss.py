"""Prompts and exact losses of full attention: what is trained on, what is measured on, and K in closed form.

label       l = (prediction - m.x_q)^2 / (2 noise_std^2), nats a prompt; labels have no noise
full, data  K = (1/2 delta^T G delta + delta^T c) / noise_std^2, delta = theta(w) - theta(w*), and c = 0 in full
lsa         the same in D = B - B*: the mean of |X D X^T|^2 / (2 noise_std^2) over the (N+1)^2 entries
"""

from functools import partial

import torch
from torch import Tensor, nn

from llcx.fit import Objective, empirical
from llcx.params import flatten
from llcx.tasks.attention.form import Quadratic, key_query, prediction
from llcx.tasks.attention.moments import Moments, full_of_law, full_of_rows, linear_of_law, linear_of_rows
from llcx.tasks.attention.prompts import Law, Prompts, covariance
from llcx.tasks.full_attn.schema import FullAttn
from llcx.tasks.rows import batches, held
from llcx.types import Chains, Data, StatModel, Streams


class Labelled:
    """`(row numbers [..]) -> (X [.., k+1, d+1], y [.., 1])`, float64; `role` measure or train: other prompts."""

    def __init__(self, cfg: FullAttn, streams: Streams, role: str) -> None:
        self.prompts = Prompts(law(cfg), streams, role)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        X, y = self.prompts(rows)
        return X, y.unsqueeze(-1)


def law(cfg: FullAttn) -> Law:
    """What the prompts are drawn from."""
    return Law(cfg.model.d, cfg.data.context, covariance(cfg.data.covariance, cfg.model.d))


def theta(cfg: FullAttn, w: Chains) -> Tensor:
    """What the output is linear in, [C, q], of flat parameters: B in the view lsa, else the prediction's factors."""
    return (key_query if cfg.view == "lsa" else prediction)(w, cfg.model.d + 1)


def quadratic(cfg: FullAttn, module: nn.Module, data: Data, *, labels: bool) -> Quadratic:
    """K around the weights of `module`, on the labels or against its own output."""
    at = flatten(module)
    of_labels = theta(cfg, at.unsqueeze(0))[0] if labels else None
    return Quadratic(partial(theta, cfg), at, cfg.data.noise_std**-2, partial(moments, cfg, data, of_labels))


def moments(cfg: FullAttn, data: Data | None, at: Tensor | None = None) -> Moments:
    """G, and c of the labels where `at` = theta(w*) is given; of the law in mode population, and without `data`."""
    own = law(cfg)
    if data is None or data.mode == "population":
        return linear_of_law(own) if cfg.view == "lsa" else full_of_law(own, at)
    if cfg.view == "lsa":
        return linear_of_rows(((X, None) for X, _ in batches(data)), own)
    return full_of_rows(((X, y.squeeze(-1)) for X, y in batches(data)), own, at)


def objective(cfg: FullAttn, streams: Streams, model: StatModel) -> Objective:
    """What is minimised: the mean over the training prompts, or the expectation where there is no batch size."""
    if cfg.fit.batch_size is not None:
        return empirical(model, held(Labelled(cfg, streams, "train"), cfg.data.train, "noise_free"))
    nothing = torch.zeros_like(flatten(model.module))
    origin = torch.zeros_like(theta(cfg, nothing.unsqueeze(0))[0])
    above = Quadratic(partial(theta, cfg), nothing, cfg.data.noise_std**-2, lambda: moments(cfg, None, origin))
    spread = law(cfg).covariance
    unlearned = (cfg.model.d if spread is None else float(spread.trace())) / (
        2 * cfg.data.noise_std**2
    )  # E y^2 / 2 s^2

    def loss(module: nn.Module, rows: Tensor | None) -> Tensor:
        del rows
        return unlearned + above(torch.cat([factor.reshape(1, -1) for factor in module.parameters()], 1)).sum()

    return Objective(loss, 0)
