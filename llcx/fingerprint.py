"""Fingerprints: sha256 of weights, data, settings and code, so that what was computed once is known again.

A value's fingerprint is that of its content: tensors by type, shape and bytes; functions by their compiled code, their
defaults, what they close over and the plain values and functions of their module that they use; records and other
objects by their class and fields; modules by their state, the code of their forward pass and their plain settings.
Of llcx's own functions and classes the name counts, and code() tells their code; of torch's and builtin ones too.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
ENGINE = ("*.py", *(f"{room}/*.py" for room in ("gradients", "native", "samplers", "estimators")), "native/*.c")


def of(*values: Any) -> str:
    """sha256, in hexadecimal. Raises ValueError for an object whose content cannot be told."""
    total = hashlib.sha256()
    for part in _parts(values, ()):
        total.update(part if isinstance(part, memoryview) else f"{part}\x1f".encode())
    return total.hexdigest()


@lru_cache
def code() -> str:
    """That of llcx's engine and of the torch that it runs on."""
    here, total = Path(__file__).parent, hashlib.sha256(f"{metadata.version('llcx')} {torch.__version__}".encode())
    for file in sorted(file for pattern in ENGINE for file in here.glob(pattern)):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


def _parts(value: Any, inside: tuple[int, ...]) -> Iterator[str | memoryview]:
    """What there is to tell of a value; `inside` are those it lies in, which functions that call each other do."""
    if isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
        return
    if id(value) in inside:
        yield "again"
        return
    inside = (*inside, id(value))
    if isinstance(value, Tensor):
        yield from _tensor(value)
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}"
        for key, item in value.items():
            yield from _parts((key, item), inside)
    elif isinstance(value, tuple | list | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        yield f"{type(value).__qualname__} {len(value)}"
        for item in items:
            yield from _parts(item, inside)
    else:
        yield from _thing(value, inside)


def _thing(value: Any, inside: tuple[int, ...]) -> Iterator[str | memoryview]:
    if isinstance(value, nn.Module):
        yield from _module(value, inside)
    elif isinstance(value, FunctionType):
        own = (value.__module__ or "").startswith("llcx.")
        yield from [f"{value.__module__}.{value.__qualname__}"] if own else _function(value, inside)
    elif isinstance(value, MethodType):
        yield from _parts((value.__func__, value.__self__), inside)
    elif isinstance(value, partial):
        yield from _parts((value.func, value.args, value.keywords), inside)
    elif isinstance(value, CodeType):
        yield value.co_code.hex()
        yield from _parts((value.co_names, _consts(value)), inside)
    elif isinstance(value, type | BuiltinFunctionType | ModuleType) or hasattr(value, "__wrapped__"):
        yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__class__.__name__)}"
    elif hasattr(value, "__dict__") or hasattr(value, "__slots__"):
        yield from _object(value, inside)
    else:
        yield _told(value)


def _consts(held: CodeType) -> tuple[Any, ...]:
    """Its constants without the docstring, which is the first one of a function that has a name."""
    found = held.co_consts
    documented = held.co_flags & 0x4000000 if sys.version_info >= (3, 13) else held.co_name[0] != "<"
    return (None, *found[1:]) if documented and found and isinstance(found[0], str) else found


def _told(value: Any) -> str:
    """The text of a value; ValueError where that is its address."""
    if " at 0x" in (text := repr(value)):
        raise ValueError(f"cache must be left out with a {type(value).__name__}, whose content cannot be told: {text}")
    return f"{type(value).__qualname__} {text}"


def _tensor(value: Tensor) -> Iterator[str | memoryview]:
    held = value.detach().cpu().contiguous().resolve_conj()
    yield f"tensor {held.dtype} {tuple(held.shape)}"
    yield held.reshape(-1).view(torch.uint8).numpy().data


def _function(value: FunctionType, inside: tuple[int, ...]) -> Iterator[str | memoryview]:
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    yield from _parts((value.__code__, value.__defaults__, value.__kwdefaults__, cells), inside)
    used = {name: value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__}
    for name, thing in sorted(used.items()):
        own = isinstance(thing, FunctionType) and thing.__module__ == value.__module__
        if own or isinstance(thing, (*PLAIN, tuple, list, dict, Tensor)):
            yield from _parts((name, thing), inside)


def _names(held: CodeType) -> set[str]:
    """Names that a function's code uses, those of functions inside of it included."""
    return set(held.co_names).union(*(_names(const) for const in held.co_consts if isinstance(const, CodeType)))


def _module(value: nn.Module, inside: tuple[int, ...]) -> Iterator[str | memoryview]:
    """Its weights, which of them are free, which are one; and of each part its class, code and plain settings."""
    weights = value.state_dict(keep_vars=True)
    yield from _parts(dict(weights), inside)
    first: dict[int, str] = {}
    yield from _parts([(name, first.setdefault(id(held), name)) for name, held in weights.items()], inside)
    yield from _parts([name for name, held in value.named_parameters() if held.requires_grad], inside)
    for name, part in value.named_modules():
        settings = {key: held for key, held in vars(part).items() if key[0] != "_" and isinstance(held, PLAIN)}
        settings.pop("training", None)  # chains run in eval mode
        yield from _parts((name, type(part).__qualname__, part.extra_repr(), settings), inside)
        yield from _methods(type(part), inside)


def _object(value: Any, inside: tuple[int, ...]) -> Iterator[str | memoryview]:
    slots = {key: getattr(value, key) for key in getattr(value, "__slots__", ()) if hasattr(value, key)}
    yield type(value).__qualname__
    yield from _parts({**slots, **getattr(value, "__dict__", {})}, inside)
    yield from _methods(type(value), inside)


def _methods(kind: type, inside: tuple[int, ...]) -> Iterator[str | memoryview]:
    """The functions of a class and of those it inherits from, but for llcx's and torch's."""
    for each in kind.__mro__:
        if each.__module__.split(".")[0] not in ("llcx", "torch", "builtins", "typing"):
            methods: list[tuple[str, Callable[..., Any]]] = [
                (name, held) for name, held in vars(each).items() if isinstance(held, FunctionType)
            ]
            yield from _parts(sorted(methods, key=lambda pair: pair[0]), inside)
