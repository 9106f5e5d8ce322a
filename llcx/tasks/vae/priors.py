"""Scales d_1..d_D of the prior p = N(0, d_i^2): a law in the index i, or the data's own.

    power       i^-gamma                        exp       e^(-rate (i - 1))
    power_clip  min(i, clip_dim)^-gamma         linear    1 .. 1 - rate, evenly spaced

The law is d_i, or d_i^2 with exponent_of=var. Then d_i is raised to min_scale, then normalised.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.vae.schema import Prior

Scale = Float[Tensor, " D"]


def scale(cfg: Prior, dim: int, eigenvalues: Float[Tensor, " E"] | None = None) -> Scale:
    """d [D] in float64; `eigenvalues` of the data's covariance, falling, are what data_pca takes.

    Raises ValueError where a d_i is not a positive number, or where there are too few values.
    """
    d = _law(cfg, dim, eigenvalues)
    if cfg.kind == "data_pca" or cfg.exponent_of == "var":
        d = d.clamp(min=0).sqrt()
    if cfg.min_scale > 0:
        d = d.clamp(min=cfg.min_scale)
    bad = (~(d > 0) | ~d.isfinite()).nonzero()
    if len(bad):
        place = int(bad[0])
        raise ValueError(
            f"task.prior must give positive scales, got {float(d[place]):g} in dimension {place + 1} of {dim} with "
            f"kind={cfg.kind}; raise task.prior.min_scale or choose a slower decay"
        )
    return d / _unit(cfg, d)


def variance_exponent(cfg: Prior) -> float:
    """a of the prior's variances i^-a, where its law is a power."""
    return cfg.gamma * (2 if cfg.exponent_of == "std" else 1)


def _law(cfg: Prior, dim: int, eigenvalues: Tensor | None) -> Scale:
    index = torch.arange(1, dim + 1, dtype=torch.float64)
    rate = 0.0 if cfg.rate is None else cfg.rate
    if cfg.kind == "ones":
        return torch.ones_like(index)
    if cfg.kind == "power":
        return index**-cfg.gamma
    if cfg.kind == "power_clip":
        return index.clamp(max=cfg.clip_dim) ** -cfg.gamma
    if cfg.kind == "exp":
        return (-rate * (index - 1)).exp()
    if cfg.kind == "linear":
        return torch.linspace(1, 1 - rate, dim, dtype=torch.float64)
    if cfg.kind == "data_pca":
        return _first(eigenvalues, dim, "the data's eigenvalues")
    if cfg.kind == "custom":
        given = None if cfg.values is None else torch.tensor(cfg.values, dtype=torch.float64)
        if given is not None and len(given) != dim:
            raise ValueError(f"task.prior.values must hold task.model.latent_dim={dim} numbers, got {len(given)}")
        return _first(given, dim, "task.prior.values")
    raise ValueError(
        f"task.prior.kind must be ones, power, power_clip, exp, linear, data_pca or custom, got {cfg.kind}"
    )


def _first(values: Tensor | None, dim: int, what: str) -> Scale:
    """The first `dim` values; those that are missing are 0, for min_scale to raise."""
    if values is None:
        raise ValueError(f"{what} must be given, got none")
    found = torch.zeros(dim, dtype=torch.float64)
    found[: min(dim, len(values))] = values[:dim].double()
    return found


def _unit(cfg: Prior, d: Scale) -> Tensor:
    """What d is divided by."""
    if cfg.normalise == "none":
        return torch.ones((), dtype=d.dtype)
    if cfg.normalise == "trace":
        return d.square().mean().sqrt()
    if cfg.normalise == "geomean":
        return d.log().mean().exp()
    if cfg.normalise == "last":  # of the law where it is not clipped
        return torch.tensor(float(len(d)), dtype=d.dtype) ** -(variance_exponent(cfg) / 2)
    raise ValueError(f"task.prior.normalise must be none, trace, geomean or last, got {cfg.normalise}")
