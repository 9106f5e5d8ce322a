"""Rows of a teacher, as functions of (seed, row): inputs, labels, noise."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llcx.rng import counter_normal, counter_uniform
from llcx.tasks.mlp import network, sizes
from llcx.tasks.mlp.schema import MLP, Labelled
from llcx.types import Streams

PROBES = 1000  # inputs over which the teacher's outputs are brought to unit variance


class Inputs:
    """`row numbers [..] -> x [.., D]`, float64; `role` tells independent sets of rows apart."""

    def __init__(self, cfg: Labelled, width: int, streams: Streams, role: str = "inputs") -> None:
        self.cfg, self.width, self.key, self.more = cfg, width, streams.key(role), streams.key(f"{role}/law")
        generator = streams.generator("directions")  # drawn whatever the law, so that laws share them
        normal = torch.randn(width, width, generator=generator, dtype=torch.float64)
        self.frame = torch.linalg.qr(normal)[0]
        centres = torch.randn(cfg.components, width, generator=generator, dtype=torch.float64)
        self.centres = cfg.separation * centres / centres.norm(dim=1, keepdim=True)

    def __call__(self, rows: Tensor) -> Tensor:
        cfg, z = self.cfg, counter_normal(self.key, rows, self.width)
        if cfg.x_dist == "gauss_aniso":
            return (z * self._scales(z)) @ self.frame.to(z).T
        if cfg.x_dist == "mixture":
            which = (cfg.components * counter_uniform(self.more, rows, 1).squeeze(-1)).long()
            return z + self.centres.to(z)[which]
        if cfg.x_dist == "lowdim_manifold":
            k = cfg.manifold_dim
            return z[..., :k] @ self.frame[:, :k].to(z).T
        if cfg.x_dist == "heavy_tail":
            return z * student_scale(self.more, rows, cfg.tail_df)
        return z  # gauss_iso: the schema refused any other name

    def _scales(self, like: Tensor) -> Tensor:
        """Standard deviations: variances fall geometrically from `condition` to 1, their mean is 1."""
        variances = self.cfg.condition ** torch.linspace(1, 0, self.width, dtype=like.dtype, device=like.device)
        return (variances / variances.mean()).sqrt()


class Taught:
    """`row numbers [..] -> (x [.., D], y [.., O])` in the dtype of the model."""

    def __init__(self, cfg: MLP, streams: Streams) -> None:
        self.cfg, self.inputs, self.streams = cfg.data, Inputs(cfg.data, cfg.model.in_dim, streams), streams
        self.teacher = teacher(cfg, streams).double()
        self.dtype = network.dtype(cfg.model)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        x = self.inputs(rows)
        with torch.no_grad():
            y = self.teacher.to(x.device)(x)
        drop = self.cfg.teacher.dropout
        if drop > 0:
            y = y * (counter_uniform(self.streams.key("dropout"), rows, y.shape[-1]) >= drop) / (1 - drop)
        if self.cfg.mode == "noisy":
            y = y + self.cfg.noise_std * self._noise(x, rows, y.shape[-1])
        return x.to(self.dtype), y.to(self.dtype)

    def _noise(self, x: Tensor, rows: Tensor, width: int) -> Float[Tensor, "... O"]:
        """In units of noise_std."""
        cfg, z = self.cfg, counter_normal(self.streams.key("labels"), rows, width)
        law = self.streams.key("labels/law")
        if cfg.noise_model == "hetero":
            return z * (1 + cfg.hetero * x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5)
        if cfg.noise_model == "student_t":
            return z * student_scale(law, rows, cfg.noise_df)
        if cfg.noise_model == "outliers":
            return torch.where(counter_uniform(law, rows, 1) < cfg.outlier_share, cfg.outlier_scale * z, z)
        return z  # gauss: the schema refused any other name


def teacher(cfg: MLP, streams: Streams) -> nn.Sequential:
    """The network that labels the rows, its last layer scaled so that its outputs vary by 1 over the inputs."""
    shape = sizes.taught_by(cfg.model, cfg.data.teacher)
    taught = network.build(shape, streams.generator("teacher")).double()
    x = Inputs(cfg.data, cfg.model.in_dim, streams, "probes")(torch.arange(PROBES))
    with torch.no_grad():
        spread = taught(x).std(0).square().mean().sqrt().clamp(min=1e-9)
        for parameter in taught.get_submodule("out").parameters():
            parameter.div_(spread)
    return taught.to(network.dtype(cfg.model))


def student_scale(key: int, rows: Tensor, df: int) -> Tensor:
    """[.., 1]: what turns a row of standard normals into Student's t, sqrt(df / chi^2)."""
    return (df / counter_normal(key, rows, df).square().sum(-1, keepdim=True)).sqrt()
