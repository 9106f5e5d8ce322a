"""Rows of prompts and their labels, the teacher's output without noise or with white noise on every entry."""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from llcx.rng import counter_normal
from llcx.tasks import rows as shared
from llcx.tasks.attention.prompts import Law, Prompts, covariance
from llcx.tasks.lsa.schema import LSA
from llcx.types import Data, Rows, Streams


class Taught:
    """`(row numbers [..]) -> (X [.., k+1, d+1], Y [.., k+1, k+1])`, float64; Y [.., 1] for the scalar output.

    Rows of a population loss have no noise, so that w* is the minimum of every minibatch too.
    """

    def __init__(self, cfg: LSA, teacher: Tensor, streams: Streams) -> None:
        self.teacher, self.scalar = teacher, cfg.model.output == "scalar"
        self.noise_std = cfg.data.noise_std if cfg.data.mode == "noisy" else 0.0
        self.key = streams.key("labels")
        self.prompts: Prompts | shared.Kept = Prompts(law(cfg), streams)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        X, _ = self.prompts(rows)
        Y = self.clean(X)
        if self.noise_std > 0:
            entries = Y.shape[rows.dim() :].numel()
            Y = Y + self.noise_std * counter_normal(self.key, rows, entries).reshape(Y.shape)
        return X, Y

    def clean(self, X: Tensor) -> Tensor:
        """The teacher's output on prompts."""
        if self.scalar:
            X = X[..., -1:, :]
        Y = X @ self.teacher.to(X) @ X.mT
        return Y.squeeze(-1) if self.scalar else Y


def build_rows(cfg: LSA, teacher: Tensor, streams: Streams) -> Data:
    """Stored where the table is small enough; else prompts alone are kept, and labels computed on demand."""
    n, k = cfg.data.n, min(cfg.data.context, cfg.model.d)
    assert n is not None  # problems.replicas filled it in
    taught = Taught(cfg, teacher, streams)
    prompts = n * (k + 1) * (cfg.model.d + 1) * 8
    labels = 0 if taught.scalar else n * (k + 1) ** 2 * 8
    if prompts + labels < shared.STORED_UP_TO:
        return shared.held(taught, n, cfg.data.mode)
    if prompts < shared.STORED_UP_TO:
        taught.prompts = shared.Kept(taught.prompts, n)
    return Data(Rows(taught, n), n, cfg.data.mode)


def batches(cfg: LSA, teacher: Tensor, data: Data, streams: Streams) -> Iterator[tuple[Tensor, Tensor | None]]:
    """All rows once, as prompts and the noise of their labels, None where there is none."""
    taught = Taught(cfg, teacher, streams)  # asked once for each row, which is no reason to keep them
    once = replace(data, train=Rows(taught, data.train.total)) if isinstance(data.train, Rows) else data
    for X, Y in shared.batches(once):
        yield X, Y - taught.clean(X) if taught.noise_std > 0 else None


def law(cfg: LSA) -> Law:
    """What the prompts are drawn from."""
    return Law(cfg.model.d, cfg.data.context, covariance(cfg.data.covariance, cfg.model.d))
