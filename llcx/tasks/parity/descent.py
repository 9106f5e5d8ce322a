"""First-order methods in discrete steps of learning rate eta, on all rows, on minibatches of them or on fresh rows.

    sgd        b <- momentum b + g,  w <- w - eta b
    adam       m <- beta1 m + (1 - beta1) g,  s <- beta2 s + (1 - beta2) g^2,
               w <- w - eta (m / (1 - beta1^i)) / (sqrt(s / (1 - beta2^i)) + 1e-8)
    sign_sgd   w <- (1 - eta weight_decay) w - eta sign(g)

g is the gradient of the mean loss plus l1 sign(w), and for sgd and adam plus weight_decay w. The time is t = eta i.

Adam: Kingma and Ba (2015), arXiv:1412.6980. Sparse parity by online SGD: Barak et al. (2022), arXiv:2207.08799; by sign
SGD: Kou et al. (2024), arXiv:2404.12376.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from llcx.tasks.parity.course import Rows
from llcx.tasks.parity.ensemble import Ensemble, Member
from llcx.tasks.parity.network import Members, Outputs
from llcx.tasks.parity.schema import Descent

SLOTS = {"sgd": ("first",), "adam": ("first", "second"), "sign_sgd": ()}  # what a method remembers, [M, P] each


class Descending:
    """A first-order method as a course's dynamics; milestones are looked for at checkpoints alone."""

    every_step = False

    def __init__(self, method: str, cfg: Descent) -> None:
        """Raises ValueError for a method that there is not."""
        if method not in SLOTS:
            raise ValueError(f"task.fit.dynamics must be one of {', '.join(SLOTS)} here, got {method}")
        self.method, self.cfg = method, cfg
        self._batches: Batches | None = None

    def begin(self, ensemble: Ensemble) -> Rows:
        w, zero = ensemble.w0, torch.zeros_like(ensemble.aloss0)
        f = ensemble.model.outputs(w, ensemble.data.x_train)
        return {"w": w, "f": f, "t": zero, "grad_norm": zero, **dict.fromkeys(SLOTS[self.method], torch.zeros_like(w))}

    def advance(self, ensemble: Ensemble, rows: Rows, step: int, look: bool) -> Rows:
        if self._batches is None or self._batches.ensemble is not ensemble:
            self._batches = Batches(ensemble, self.cfg.batch_size)
        _, g = ensemble.pull_on(rows["w"], *self._batches(step - 1))
        moved = rows | self.move(rows, g, step)
        moved |= {"t": torch.full_like(rows["t"], self.cfg.learning_rate * step), "grad_norm": g.norm(dim=1).double()}
        return moved | {"f": ensemble.model.outputs(moved["w"], ensemble.data.x_train)} if look else moved

    def move(self, rows: Rows, g: Members, step: int) -> Rows:
        """Weights and memory after a step along the gradient g of the loss."""
        cfg, w = self.cfg, rows["w"]
        g = g + cfg.l1 * w.sign() if cfg.l1 else g
        if self.method == "sign_sgd":
            return {"w": (1 - cfg.learning_rate * cfg.weight_decay) * w - cfg.learning_rate * g.sign()}
        g = g + cfg.weight_decay * w if cfg.weight_decay else g
        if self.method == "sgd":
            first = cfg.momentum * rows["first"] + g
            return {"w": w - cfg.learning_rate * first, "first": first}
        one, two = cfg.betas
        first, second = one * rows["first"] + (1 - one) * g, two * rows["second"] + (1 - two) * g.square()
        width = (second / (1 - two**step)).sqrt() + 1e-8
        return {"w": w - cfg.learning_rate / (1 - one**step) * first / width, "first": first, "second": second}

    def told(self, rows: Rows) -> Mapping[str, Tensor]:
        """The norm of the last step's gradient of the loss."""
        return {"grad_norm": rows["grad_norm"]}


class Batches:
    """Rows of a step: all of them, fresh ones, or epoch after epoch each a permutation from the member's own stream."""

    def __init__(self, ensemble: Ensemble, size: int | None) -> None:
        self.ensemble, self.size = ensemble, size
        self.fresh = [member.fresh for member in ensemble.members if member.fresh is not None]
        self._epoch, self._order = -1, torch.empty(0)

    def __call__(self, step: int) -> tuple[Tensor, Outputs, Outputs]:
        """x [M, B, D], y and what is subtracted from f, [M, B]; step 0 is the first."""
        data = self.ensemble.data
        if self.fresh:
            x, y = map(torch.stack, zip(*(fresh(step) for fresh in self.fresh), strict=True))
            return x, y, self.ensemble.base_of(x)
        if self.size is None:
            return data.x_train, data.y_train, self.ensemble.base
        rows = self.rows(step, self.size)
        x = data.x_train.gather(1, rows.unsqueeze(2).expand(-1, -1, data.x_train.shape[2]))
        return x, data.y_train.gather(1, rows), self.ensemble.base.gather(1, rows)

    def rows(self, step: int, size: int) -> Int[Tensor, "M B"]:
        """Row numbers; members of one seed take the same."""
        total = self.ensemble.data.y_train.shape[1]
        epoch, place = divmod(step, max(1, total // size))
        if epoch != self._epoch:
            orders = [self._permutation(total, epoch, member) for member in self.ensemble.members]
            self._epoch, self._order = epoch, torch.stack(orders)
        return self._order[:, place * size : (place + 1) * size]

    def _permutation(self, total: int, epoch: int, member: Member) -> Int[Tensor, " n"]:
        if member.streams is None:
            raise ValueError(f"member {member.name!r} must have streams to draw minibatches from, got none")
        return torch.randperm(total, generator=member.streams.generator(f"fit/{epoch}"))
