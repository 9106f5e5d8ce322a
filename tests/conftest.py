"""What every test runs under: one thread, no screen, shapes checked, no state left by the test before it."""

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from types import CodeType, FunctionType
from typing import Any, runtime_checkable

import jaxtyping
import matplotlib
import pytest
import torch
from hypothesis import settings

CHECKED = 16  # calls of each function in each test whose shapes are checked
_calls: Counter[CodeType] = Counter()


def sampled(jaxtyped: Callable[..., Any]) -> Callable[..., Any]:
    """`jaxtyping.jaxtyped`, but for the first calls in a test only.

    A chain calls the same closures thousands of times, and checking each call made such tests six times slower.
    """

    def decorator(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
        typechecker = steady(typechecker)

        def decorate(found: Any) -> Any:
            if not isinstance(found, FunctionType):
                return jaxtyped(found, typechecker=typechecker)
            code = found.__code__
            if _calls[code] >= CHECKED:
                return found
            checked = jaxtyped(found, typechecker=typechecker)

            @wraps(found)
            def first_calls(*args: Any, **kwargs: Any) -> Any:
                _calls[code] += 1
                return (checked if _calls[code] <= CHECKED else found)(*args, **kwargs)

            return first_calls

        return decorate

    return decorator


def steady(typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """A checker that leaves `random` as it was: beartype draws from it which items to look at, Hypothesis objects."""

    def decorate(found: Any) -> Any:
        checked = typechecker(found)

        @wraps(checked)
        def check(*args: Any, **kwargs: Any) -> Any:
            state = random.getstate()
            try:
                return checked(*args, **kwargs)
            finally:
                random.setstate(state)

        return check

    return decorate


jaxtyping.jaxtyped = sampled(jaxtyping.jaxtyped)
from llcx import types  # noqa: E402  after the line above: its functions are decorated as it is imported

for protocol in (types.Noise, types.Streams, types.Task, types.Conditionals, types.Tempered):
    runtime_checkable(protocol)  # so that beartype can check arguments that are protocols

matplotlib.use("Agg")
torch.set_num_threads(1)
# The same cases each time, and no deadline: a busy machine is not a bug.
settings.register_profile("llcx", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("llcx")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {"gpu": not torch.cuda.is_available(), "slurm": shutil.which("sbatch") is None}
    for item in items:
        for marker in item.iter_markers():
            if missing.get(marker.name):
                item.add_marker(pytest.mark.skip(reason=f"no {marker.name} here"))


@pytest.fixture(autouse=True)
def a_test_is_the_same_alone_and_among_others() -> None:
    """Modules that a test builds draw their weights from the global generator."""
    torch.manual_seed(0)
    _calls.clear()


@pytest.fixture(autouse=True)
def hydra_starts_afresh() -> Iterator[None]:
    """Hydra keeps its search path in a singleton; a test that failed half-way must not hand it to the next."""
    yield
    if "hydra.core.global_hydra" in sys.modules:
        sys.modules["hydra.core.global_hydra"].GlobalHydra.instance().clear()


@pytest.fixture(autouse=True)
def torch_is_left_as_found() -> Iterator[None]:
    """A default dtype or thread count changed by one test would change the numbers of the next."""
    yield
    assert torch.get_default_dtype() is torch.float32, "the test must restore torch's default dtype"
    assert torch.get_num_threads() == 1, "the test must restore torch's thread count"
