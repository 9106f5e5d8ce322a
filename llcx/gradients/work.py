"""What a calculation costs, counted: floating-point operations of its products, and how many tensor operations it is.

torch's own FlopCounterMode counts by the same table, and loads the whole of torch's compiler to do so: a second or two
at the start of every process.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Work(NamedTuple):
    flops: float  # at least 1, so that ratios are defined
    calls: int  # tensor operations, at least 1


def work(calculation: Callable[[], Any]) -> Work:
    """Of `calculation`, which is run."""
    with _Counting() as counted:
        calculation()
    return Work(float(max(counted.flops, 1)), max(counted.calls, 1))


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.flops = self.calls = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """What keeps the compiler out; a version of torch without this hook loads it, and counts the same."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        found = func(*args, **kwargs)
        self.calls += 1
        self.flops += 0 if formula is None else formula(*args, **kwargs, out_val=found)
        return found
