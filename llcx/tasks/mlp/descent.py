"""A training that may end early, and that ends in a minimum where the network is small (newton.py)."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from llcx.fit import Objective
from llcx.params import flatten, layout
from llcx.tasks.mlp import newton
from llcx.tasks.mlp.schema import Descent
from llcx.types import Data, Event, State, StatModel, Training

Ends = tuple[StatModel, Data, Objective]
Made = Callable[[], Ends]
MANY, SOME = 5_000, 512  # rows up to which a step sees all, rows of a step where there are more
SEEN, ENDED = (
    "early.loss",
    "early.ended",
)  # of a state: the loss of all rows at the last entry; whether that was the end


def settled(fit: Descent, rows: int) -> Descent:
    """With the number of rows a step that null stands for."""
    if fit.batch_size is not None or fit.optimizer == "lbfgs" or rows <= MANY:
        return fit
    return replace(fit, batch_size=SOME)


class Ending:
    """What is added to a training of `model` (at its initial weights) on `data`."""

    def __init__(self, fit: Descent, model: StatModel, data: Data, aim: Objective) -> None:
        self.fit, self.model, self.data, self.aim = fit, model, data, aim

    def steps(self, inner: Training, state: State) -> Iterator[Event]:
        """The training's own events; the last one, early or not, has the final weights, settled."""
        before = state.get(SEEN)
        if state.get(ENDED):
            return
        for event in inner.steps(state):
            early = False
            if self.fit.early_stop is not None and "loss" in event.metrics:
                now = self.loss(event.state)
                early = before is not None and float(before) - now < self.fit.early_stop * abs(float(before))
                before = now
                event = event._replace(state={**event.state, SEEN: now, ENDED: early})
            yield self.last(event) if early or "final" in event.snapshots else event
            if early:
                return

    def loss(self, state: State) -> float:
        """Of all rows, at the weights of a state."""
        self.model.module.load_state_dict(_weights(state))
        with torch.no_grad():
            return float(self.aim.loss(self.model.module, None))

    def last(self, event: Event) -> Event:
        """The event with the final weights."""
        weights = event.snapshots.get("final", _weights(event.state))
        size = layout(self.model.module).size
        if self.fit.finish > 0 and size <= newton.UP_TO:
            weights, told = self._finished(weights)
            event = event._replace(metrics={**event.metrics, **told})
        return event._replace(snapshots={**event.snapshots, "final": weights})

    def _finished(self, weights: State) -> tuple[State, dict[str, float]]:
        self.model.module.load_state_dict(weights)
        loss, w = newton.mean_loss(self.model, self.data.train), flatten(self.model.module)
        found = newton.settled(loss, w, self.fit.finish)
        moved = float((found - w).norm() / w.norm().clamp(min=1e-30))
        told = {"finish.loss": float(loss(found)), "finish.drop": float(loss(w) - loss(found)), "finish.moved": moved}
        return {name: value.clone() for name, value in layout(self.model.module).unflatten(found).items()}, told


def _weights(state: State) -> State:
    cut = len("module.")
    return {name[cut:]: value for name, value in state.items() if name.startswith("module.")}


def ended(inner: Training, fit: Descent, made: Made) -> Training:
    """`inner` with its ending; model, data and objective are built when it starts."""

    def steps(state: State) -> Iterator[Event]:
        yield from Ending(fit, *made()).steps(inner, state)

    return inner._replace(steps=steps)
