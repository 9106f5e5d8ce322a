"""Settings of task=custom, and what is refused before anything is imported."""

from dataclasses import dataclass, field
from typing import Any

from llcx.fit import Fit
from llcx.settings import at_least

TRAINED = "trained"  # of weights: found by task.fit
LOSSES = ("categorical", "gaussian", "bernoulli")
SHIPPED = "llcx.tasks.custom.example"  # the one module that a run may name and no user has to vouch for
EXAMPLE = "python train.py task=custom task.model=net.py:build task.data=net.py:load task.loss=categorical"


def _fit() -> Fit:
    return Fit("adam", 1e-3, steps=1000, batch_size=64, every=50)


@dataclass(frozen=True)
class Custom:
    """One model of the user's: as it is built, at the weights of a file, along a folder of checkpoints, or trained."""

    model: str | None = None  # FILE.py:NAME or package.module:NAME of a torch.nn.Module, or of what makes one
    model_args: dict[str, Any] = field(default_factory=dict)  # keyword arguments of what makes it
    data: str | None = None  # the same for rows: tensors or arrays (x, y), a Dataset, a DataLoader, or what makes them
    data_args: dict[str, Any] = field(default_factory=dict)
    loss: str | None = None  # categorical | gaussian | bernoulli | a name: (output, batch) -> nats an example
    noise_std: float | None = None  # of gaussian: the standard deviation of the labels, which is the loss's unit
    labels: Any = 1  # where a batch keeps its labels, for the first three losses: a position, or a key of a dict
    forward: str | None = None  # a name: (model, batch) -> output; null: model(batch[0])
    others: dict[str, str] = field(default_factory=dict)  # further data for estimator.measure_on, by name
    n: int | None = None  # data size where a row holds several predictions: their number; null: rows
    weights: str | None = None  # null (as built) | a file | a folder of checkpoints | trained (by task.fit)
    fit: Fit = field(default_factory=_fit)
    seeds: int = 1
    name: str = "custom"

    def __post_init__(self) -> None:
        at_least("task", 1, seeds=self.seeds)
        if self.n is not None:
            at_least("task", 1, n=self.n)
        if self.loss == "gaussian" and (self.noise_std is None or not self.noise_std > 0):
            raise ValueError(
                f"task.noise_std must be > 0 with task.loss=gaussian, got {self.noise_std}; it is the standard "
                "deviation of the labels"
            )
        if self.loss != "gaussian" and self.noise_std is not None:
            raise ValueError(
                f"task.noise_std must be null with task.loss={self.loss}, got {self.noise_std}; it is that of gaussian"
            )

    def imported(self) -> dict[str, str]:
        """Full key -> name, of all that this run imports and llcx does not ship."""
        named = {"model": self.model, "data": self.data, "loss": self.loss, "forward": self.forward}
        named |= {f"others.{name}": text for name, text in self.others.items()}
        ours = (f"{SHIPPED}:{name}" for name in ("build", "load", "held_out"))
        free = {None, *LOSSES, *ours}
        return {f"task.{key}": text for key, text in named.items() if text is not None and text not in free}


def complete(cfg: Custom) -> None:
    """Raise ValueError, with an example, where model, data or loss are not named."""
    wanted = {
        "model": "FILE.py:NAME of a torch.nn.Module, or of what makes one",
        "data": "FILE.py:NAME of rows (x, y), of a Dataset or a DataLoader, or of what makes them",
        "loss": f"{', '.join(LOSSES)} or FILE.py:NAME",
    }
    for key, what in wanted.items():
        if getattr(cfg, key) is None:
            raise ValueError(f"task.{key} must be {what}, got null; {EXAMPLE}")
