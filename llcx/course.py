"""What happened along a training that is watched: every step, and what was seen at events, as one flat state.

loss, gradient [S]    each step's loss, before the step, and the norm of its gradient
at [E]                steps that had been taken at each event, 0 the first
<name> [E] or [E, D]  what the watch found there
ended                 whether it came to its last step
"""

from collections import defaultdict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from llcx.flat import part, within
from llcx.types import State

ROLE = "course"  # of the snapshot
STEPS = ("loss", "gradient")

Watch = Callable[[nn.Module], Mapping[str, float | Tensor]]  # numbers, and vectors of one length each


class Course:
    """The course so far, which a state of the training holds too."""

    def __init__(self, watch: Watch, state: State) -> None:
        self.watch = watch
        self._rows: dict[str, list[Tensor]] = defaultdict(list)
        for name, value in part(ROLE, state).items():
            self._rows[name] = list(torch.as_tensor(value).unbind())

    @property
    def begun(self) -> bool:
        """Whether it has an event."""
        return "at" in self._rows

    def step(self, loss: float, gradient: float) -> None:
        """A step was taken."""
        for name, value in zip(STEPS, (loss, gradient), strict=True):
            self._rows[name].append(torch.tensor(value, dtype=torch.float64))

    def event(self, module: nn.Module) -> dict[str, float]:
        """What the watch finds now; its numbers."""
        found = self.watch(module)
        self._rows["at"].append(torch.tensor(len(self._rows["loss"])))
        for name, value in found.items():
            self._rows[name].append(torch.as_tensor(value).double().clone())
        return {name: value for name, value in found.items() if not isinstance(value, Tensor)}

    def state(self) -> State:
        """Everything so far, for a training to go on from."""
        return within(ROLE, {name: torch.stack(rows) for name, rows in self._rows.items() if rows})

    def told(self, *, ended: bool) -> State:
        """The snapshot."""
        return {**part(ROLE, self.state()), "ended": ended}
