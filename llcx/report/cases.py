"""A measurement as its health checks look at it: a row, and the kernel that made it."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from llcx.figures import rows
from llcx.figures.rows import Row
from llcx.registry import SAMPLERS


class Kernel(NamedTuple):
    """What the settings of a sampler tell of its biases; of a sampler that is not known, the row alone tells."""

    unbiased: bool | None = None  # right at any step; None where the choice was open
    adapts: bool = False  # the step follows the chains along the warm-up
    minibatches: bool = True


class Case(NamedTuple):
    """A row and its kernel."""

    row: Row
    kernel: Kernel

    def has(self, column: str) -> bool:
        return bool(self.row.raw.get(column))

    def number(self, column: str) -> float:
        """The number in a column; nan where there is none."""
        return rows.number(self.row.raw.get(column, ""))

    @property
    def exact(self) -> bool:
        """Whether the loss is in closed form."""
        return self.row.raw.get("backend") == "closed"

    @property
    def spent(self) -> bool:
        return self.row.raw.get("stopped_by") == "budget"

    @property
    def unbiased(self) -> bool:
        """What chose its kernel itself took one with a Metropolis step wherever the loss is exact or it accepts."""
        return self.exact or self.has("accept") if self.kernel.unbiased is None else self.kernel.unbiased


def cases(every: Sequence[Row], config: Mapping[str, Any]) -> list[Case]:
    """A case a row. `config`: that of the run, or empty where the rows are of several."""
    kernels = {name: kernel(name, config) for name in {row.sampler for row in every}}
    return [Case(row, kernels[row.sampler]) for row in every]


def kernel(label: str, config: Mapping[str, Any]) -> Kernel:
    """The kernel that rows call `label`: a further one, the run's own, or the one of that name with its defaults."""
    further, main = config.get("samplers") or {}, config.get("sampler") or {}
    settings = further.get(label) or (main if main.get("name") == label else {"name": label})
    name = settings.get("name")
    if name == "auto" or name not in SAMPLERS.names():
        return Kernel()
    schema = SAMPLERS.schema(name)
    given = {field.name: settings[field.name] for field in fields(schema) if field.name in settings}
    try:
        record: Any = schema(**given)
    except (TypeError, ValueError):  # settings of another version
        return Kernel()
    step = getattr(record, "step_size", None)
    adapts = bool(getattr(record, "adapt", 0) or (getattr(record, "adapt", 0) is None and step == "auto"))
    return Kernel(bool(record.unbiased), adapts, bool(getattr(record, "batch_size", None)))
