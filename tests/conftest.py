"""What every test runs under: one thread, no screen, shapes checked, no state left by the test before it."""

import gc
import logging
import random
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from functools import partial, update_wrapper, wraps
from threading import local
from types import CodeType, FunctionType
from typing import Any, runtime_checkable

import jaxtyping
import matplotlib
import pytest
import torch
from hydra.core.config_store import ConfigStore
from hypothesis import settings

CHECKED = 16  # calls of each function in each test whose shapes are checked


class Waiting(local):
    """In each thread, the functions whose turn it is as soon as their arguments are checked."""

    def __init__(self) -> None:
        self.turns: list[FunctionType] = []


class Checks:
    """The checks of a function, made when it is first called and shared by all closures of its code.

    A chain makes the same closures thousands of times, and making the checks of one takes milliseconds.
    """

    left = CHECKED  # calls to be checked in this test

    def __init__(self, jaxtyped: Callable[..., Any], found: FunctionType) -> None:
        self._waiting = waiting = Waiting()

        def next_in_turn(*args: Any, **kwargs: Any) -> Any:
            return waiting.turns.pop()(*args, **kwargs)

        any_of_them = FunctionType(next_in_turn.__code__, found.__globals__, closure=next_in_turn.__closure__)
        self._of: Any = update_wrapper(any_of_them, found)
        self._jaxtyped = jaxtyped
        self._checked: Any = None

    def __call__(self, found: FunctionType, args: Any, kwargs: Any) -> Any:
        if self.left == CHECKED:
            _used.append(self)
        self.left -= 1
        self._checked = self._checked or self._jaxtyped(self._of)
        turns = self._waiting.turns
        before = len(turns)
        turns.append(found)
        try:
            return self._checked(*args, **kwargs)
        finally:
            del turns[before:]

    def of(self, found: FunctionType) -> bool:
        """Whether they are the checks of this function too: its annotations may hang on the closure."""
        return bool(self._of.__annotations__ == found.__annotations__)


_checks: dict[CodeType, Checks] = {}
_used: list[Checks] = []  # in this test


def sampled(jaxtyped: Callable[..., Any]) -> Callable[..., Any]:
    """`jaxtyping.jaxtyped`, but for the first calls in a test only: checking each made some tests six times slower."""

    def decorator(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
        whole = partial(jaxtyped, typechecker=steady(typechecker))

        def decorate(found: Any) -> Any:
            if not isinstance(found, FunctionType):
                return whole(found)
            checks = _checks.get(found.__code__)
            if checks is None or not checks.of(found):
                checks = _checks[found.__code__] = Checks(whole, found)
            if not checks.left:
                return found

            @wraps(found)
            def first_calls(*args: Any, **kwargs: Any) -> Any:
                return checks(found, args, kwargs) if checks.left else found(*args, **kwargs)

            return first_calls

        return decorate

    return decorator


def steady(typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """A checker that leaves `random` as it was: beartype draws from it which items to look at, Hypothesis objects."""

    def decorate(found: Any) -> Any:
        checked = typechecker(found)
        if not any("getrandbits" in name for name in checked.__code__.co_varnames):
            return checked

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

# Hydra copies it with all schemas for each composition, a third of its time; what is read from it is copied anyway.
ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]

matplotlib.use("Agg")
torch.set_num_threads(1)
# The same cases each time, and no deadline: a busy machine is not a bug.
settings.register_profile("llcx", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("llcx")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays to the end: looking through all of it for garbage took half of the time of collecting."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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
    for checks in _used:
        checks.left = CHECKED
    _used.clear()


@pytest.fixture(autouse=True)
def hydra_starts_afresh() -> Iterator[None]:
    """Hydra keeps its search path in a singleton; a test that failed half-way must not hand it to the next.

    Nor the log file of its last run: logging opens a closed one again for the next record.
    """
    yield
    if "hydra.core.global_hydra" in sys.modules:
        sys.modules["hydra.core.global_hydra"].GlobalHydra.instance().clear()
    for handler in [each for each in logging.root.handlers if type(each) is logging.FileHandler]:
        logging.root.removeHandler(handler)
        handler.close()


@pytest.fixture(autouse=True)
def torch_is_left_as_found() -> Iterator[None]:
    """A default dtype or thread count changed by one test would change the numbers of the next."""
    yield
    assert torch.get_default_dtype() is torch.float32, "the test must restore torch's default dtype"
    assert torch.get_num_threads() == 1, "the test must restore torch's thread count"
