"""Members that are trained together: one model, a row of weights each, with their own data, output scale and start."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.parity import losses
from llcx.tasks.parity.data import Fresh, Strings, stacked
from llcx.tasks.parity.field import Field
from llcx.tasks.parity.network import Members, Outputs
from llcx.tasks.parity.schema import Loss
from llcx.types import Flat, Streams

PerMember = Float[Tensor, " M"]
Probe = Callable[
    [Members, Members, Tensor], Mapping[str, PerMember]
]  # (w, w0, support [M, k]) -> metrics of the weights


class Member(NamedTuple):
    """What a member has of its own."""

    name: str  # no other member's; one alone may have none
    w0: Flat
    strings: Strings
    alpha: float
    tau: float = 0.0  # of the flow's momentum
    streams: Streams | None = None  # of its minibatches
    fresh: Fresh | None = None  # its batches of rows never seen


@dataclass(frozen=True)
class Problem:
    """What the members share."""

    model: Field
    loss: Loss
    subtract: bool = True  # f(w0, x) from f
    probe: Probe | None = None
    watch: "Watch | None" = None


Watch = Callable[["Ensemble", Members], Mapping[str, PerMember]]  # (ensemble, w) -> metrics of its outputs


class Ensemble:
    """M members of one problem, in tensors with a leading axis M. Raises ValueError where a label is not +-1."""

    def __init__(self, problem: Problem, members: Sequence[Member]) -> None:
        self.problem, self.members, self.model = problem, members, problem.model
        self.w0 = torch.stack([member.w0 for member in members])
        data = stacked([member.strings for member in members])
        self.data = Strings(*(part.to(self.w0) if part.is_floating_point() else part for part in data))
        self.alpha = torch.tensor([member.alpha for member in members], dtype=torch.float64)
        self.tau = torch.tensor([member.tau for member in members], dtype=torch.float64)
        self.loss = losses.build(problem.loss, self.alpha)
        losses.check_labels(self.data.y_train)
        losses.check_labels(self.data.y_test)
        f0 = self.model.outputs(self.w0, self.data.x_train)
        self.base = self.base_of(self.data.x_train)
        self.base_test = self.base_of(self.data.x_test)
        self.aloss0 = self.aloss(f0)

    def only(self, members: Sequence[int]) -> "Ensemble":
        """Some of them, in this order."""
        return Ensemble(self.problem, [self.members[member] for member in members])

    def base_of(self, x: Float[Tensor, "M N D"]) -> Outputs:
        """What is subtracted from f: f(w0, x), or zeros."""
        if self.problem.subtract:
            return self.model.outputs(self.w0, x)
        return self.w0.new_zeros(x.shape[:2])

    def pull(self, w: Members) -> tuple[Outputs, Members]:
        """f on the training rows and the gradient of the mean loss over them."""
        return self.pull_on(w, self.data.x_train, self.data.y_train, self.base)

    def pull_on(self, w: Members, x: Float[Tensor, "M N D"], y: Outputs, base: Outputs) -> tuple[Outputs, Members]:
        """The same on other rows."""
        return self.model.pull(w, x, lambda f: self.loss.slope(f - base, y) / y.shape[1])

    def pull_held(self, w: Members, f: Outputs) -> Members:
        """The gradient at w as if the outputs were still f: what of its change is the network's, not the loss's."""
        slope = self.loss.slope(f - self.base, self.data.y_train) / f.shape[1]
        return self.model.pull(w, self.data.x_train, lambda _: slope)[1]

    def margins(self, f: Outputs) -> Outputs:
        """F y of the training rows."""
        return self.loss.margins(f - self.base, self.data.y_train)

    def aloss(self, f: Outputs) -> PerMember:
        """alpha times the mean loss of the training rows, float64."""
        return self.alpha * self.loss.value(f - self.base, self.data.y_train).double().mean(1)

    def measured(self, w: Members, f: Outputs) -> dict[str, PerMember]:
        """Metrics at weights w with outputs f on the training rows, by `split/name`."""
        found = {f"train/{name}": value for name, value in self._fit(f, self.base, self.data.y_train).items()}
        if self.data.y_test.shape[1]:
            test = self._fit(self.model.outputs(w, self.data.x_test), self.base_test, self.data.y_test)
            found |= {f"test/{name}": value for name, value in test.items()}
        probed = {} if self.problem.probe is None else self.problem.probe(w, self.w0, self.data.support)
        watched = {} if self.problem.watch is None else self.problem.watch(self, w)
        norms = {"norm": w.norm(dim=1), "dnorm": (w - self.w0).norm(dim=1), **probed, **watched}
        return found | {f"train/{name}": value for name, value in norms.items()}

    def _fit(self, f: Outputs, base: Outputs, y: Outputs) -> dict[str, PerMember]:
        """Of one set of rows: losses, share of wrong rows, rows within the margin, the margins, rms of f - f0 and f.

        A row with F = 0, which is every row at the start, is half wrong.
        """
        loss, margins = self.loss.value(f - base, y).double().mean(1), self.loss.margins(f - base, y)
        return {
            "loss": loss,
            "aloss": self.alpha * loss,
            "err": (margins < 0).double().mean(1) + (margins == 0).double().mean(1) / 2,
            "nd": (margins < self.problem.loss.margin).double().sum(1),
            "margin_min": margins.amin(1),
            "margin_median": margins.median(1).values,
            "margin_max": margins.amax(1),
            "dfnorm": (f - base).square().mean(1).sqrt(),
            "fnorm": f.square().mean(1).sqrt(),
        }
