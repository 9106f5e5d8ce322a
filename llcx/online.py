"""The learning coefficient while a model is being trained: an object that is called with the step."""

from typing import Any

from torch import nn

from llcx import along, given
from llcx.estimators.llc import Estimate


class Online:
    """Measures `model` at its present weights at each multiple of `every` steps.

    The settings are those of llcx.estimate_trajectory (target="self", gamma held at that of the first measurement, the
    same random numbers at each). Weights, gradients, mode and the global random numbers of the training are left as
    they are, so that a training with it ends with the bits of one without.

    >>> import torch, llcx
    >>> x = torch.linspace(-1, 1, 50).unsqueeze(1)
    >>> model = torch.nn.Linear(1, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> online = llcx.Online(model, (x, 3 * x), llcx.likelihoods.Gaussian(0.5), every=10, chains=4, draws=8)
    >>> for step in range(20):
    ...     found = online(step)  # an Estimate at steps 0 and 10, else None
    ...     optimizer.zero_grad()
    ...     (model(x) - 3 * x).square().mean().backward()
    ...     _ = optimizer.step()
    >>> online.frame()["step"].tolist()
    [0, 10]
    """

    def __init__(self, model: nn.Module, data: Any, loss: given.Loss, *, every: int = 200, **settings: Any) -> None:
        if every < 1:
            raise ValueError(f"every must be >= 1 steps, got {every}")
        self.model, self.every = given.checked(model), every
        self._along = along.Along(along.settings(model, data, loss, **settings))

    def __call__(self, step: int) -> Estimate | None:
        """The estimate of the whole (or of `where`) at a step that is measured, else None.

        Raises FloatingPointError where its chains diverge.
        """
        if step % self.every:
            return None
        found = self._along.take(str(step), step, self.model)
        place = self._along.settings.places[0].place
        if place not in found:
            raise FloatingPointError(f"step {step}: {self._along.rows[-1]['flags']}")
        return found[place].estimate

    def frame(self) -> Any:
        """All measurements so far, as llcx.estimate_trajectory returns them."""
        return self._along.frame()
