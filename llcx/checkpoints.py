"""Weights that others wrote: files read without running anything in them, folders of them, and into a module.

    .pt .pth .ckpt .bin    torch.load(weights_only=True): a state_dict, or a dict that holds one (see HOLDERS)
    .safetensors           through the extra safetensors
    a folder               one that holds model.safetensors or pytorch_model.bin, whole or in shards with their index

Everything arrives on the processor, in the dtype in which it was saved.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from llcx.types import State

TORCH = (".pt", ".pth", ".ckpt", ".bin")
SUFFIXES = (*TORCH, ".safetensors")
HOLDERS = ("state_dict", "model_state_dict", "model", "state")  # keys under which a dict may hold a state_dict
INSIDE = ("model.safetensors", "pytorch_model.bin")  # of a folder that is one checkpoint, and with .index.json: shards
WRAPPERS = ("module.", "_orig_mod.", "model.")  # prefixes: of data parallel, compiled and Lightning modules
UNITS = re.compile(r"(?:step|iter|iteration|checkpoint|ckpt|epoch)s?[-_=. ]?(\d+)", re.IGNORECASE)
SHOWN = 6  # names that an error lists


class Checkpoint(NamedTuple):
    """One of a folder's."""

    name: str  # the file's without its suffix, or the folder's
    step: int  # the number in the name
    path: Path


def read(path: Path | str) -> State:
    """Name -> tensor, from a file or from a folder that is one checkpoint.

    Raises ValueError where there is no such file, it is damaged, or it holds more than tensors and plain values;
    ImportError for safetensors without the extra.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise ValueError(f"checkpoint must be a file that exists, got {path}")
    if path.suffix == ".safetensors":
        return _of_safetensors(path)
    if path.suffix in TORCH:
        return _state_dict(_of_torch(path), path)
    raise ValueError(f"checkpoint must end in {', '.join(SUFFIXES)}, got {path}")


def found(folder: Path | str) -> list[Checkpoint]:
    """The checkpoints of a folder, by the number in their names: model_100.pt, step-2000.safetensors, checkpoint-500/.

    The number after `step`, `iter` or `checkpoint` counts, failing these that after `epoch`, else the last one
    (epoch=3-step=1200 is 1200). Files without a number (best.pt, optimizer.pt) are passed over. Raises ValueError
    where nothing is left, or two have one number.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"checkpoints must be a folder that exists, got {folder}")
    here = sorted(_candidates(folder))
    named = [(path.name if path.is_dir() else path.stem, path) for path in here]
    every = [Checkpoint(name, step, path) for name, path in named if (step := number(name)) is not None]
    if not every:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:SHOWN]) or "nothing"
        raise ValueError(
            f"checkpoints must be a folder of weights with a number in their names ({', '.join(SUFFIXES)}, or "
            f"checkpoint-500/{INSIDE[0]}), got {folder} with {there}; or give a mapping of names to paths"
        )
    every.sort(key=lambda each: each.step)
    for first, second in pairwise(every):
        if first.step == second.step:
            raise ValueError(
                f"checkpoints must have different numbers in their names, got {first.path.name} and "
                f"{second.path.name} in {folder}; move one away, or give a mapping of names to paths"
            )
    return every


def number(name: str) -> int | None:
    """The step that a name tells; None where it has no number."""
    told = sorted(UNITS.finditer(name), key=lambda match: match[0].lower().startswith("epoch"))  # stable
    if told:
        return int(told[0][1])
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else None


def into(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Load a state_dict strictly, in place, and only if all of it fits.

    A prefix of WRAPPERS that all names have is taken off where the module has none such; one of several tied
    parameters is enough. Raises ValueError, one line, with the names that are missing, unexpected or of another shape.
    """
    wanted = module.state_dict(keep_vars=True)
    state = _unwrapped(state, wanted)
    here = {id(wanted[name]) for name in state if name in wanted}
    missing = [name for name in wanted if name not in state and id(wanted[name]) not in here]
    unexpected = [name for name in state if name not in wanted]
    shapes = [
        f"{name} {list(value.shape)} for {list(wanted[name].shape)}"
        for name, value in state.items()
        if isinstance(value, Tensor) and isinstance(wanted.get(name), Tensor) and value.shape != wanted[name].shape
    ]
    wrong = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    if any(wrong.values()):
        told = "; ".join(f"{kind}: {_listed(names)}" for kind, names in wrong.items() if names)
        raise ValueError(f"checkpoint must fit {type(module).__name__}, got names that do not: {told}")
    module.load_state_dict(dict(state), strict=False)


def _candidates(folder: Path) -> Iterator[Path]:
    """Files of weights, and folders that are one checkpoint each."""
    for path in folder.iterdir():
        inside = (path / f"{name}{more}" for name in INSIDE for more in ("", ".index.json"))
        if (path.is_file() and path.suffix in SUFFIXES) or any(each.is_file() for each in inside):
            yield path


def _of_folder(path: Path) -> State:
    for name in INSIDE:
        if (path / name).is_file():
            return read(path / name)
        if (index := path / f"{name}.index.json").is_file():
            shards = json.loads(index.read_text())["weight_map"].values()
            return {key: value for shard in sorted(set(shards)) for key, value in read(path / Path(shard).name).items()}
    raise ValueError(f"checkpoint must be a file, or a folder that holds {' or '.join(INSIDE)}, got {path}")


def _of_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError) as error:
        raise ValueError(f"checkpoint must be a whole file of torch.save, got {path}, damaged: {error}") from error
    except Exception as error:  # weights_only refuses with pickle's own exceptions, a damaged file with any
        raise ValueError(
            f"checkpoint must hold tensors and plain values alone, got {path} with something else, or damaged; where "
            "you trust it, save its weights anew: torch.save(model.state_dict(), path)"
        ) from error


def _of_safetensors(path: Path) -> State:
    try:
        files = import_module("safetensors.torch")
    except ImportError as error:
        raise ImportError(f"{path} needs safetensors: pip install 'llcx[safetensors]'") from error
    try:
        return dict(files.load_file(str(path), device="cpu"))
    except Exception as error:  # its own, without a common base
        raise ValueError(f"checkpoint must be a whole safetensors file, got {path}: {error}") from error


def _state_dict(held: Any, path: Path) -> State:
    """The dict itself, or the one that it holds."""
    for inner in (held, *(held.get(key) for key in HOLDERS if isinstance(held, Mapping))):
        if isinstance(inner, Mapping) and inner and all(isinstance(value, Tensor) for value in inner.values()):
            return dict(inner)
    what = f"one with {_listed(list(map(str, held)))}" if isinstance(held, Mapping) else f"a {type(held).__name__}"
    raise ValueError(f"checkpoint must be a state_dict, or a dict with one under {', '.join(HOLDERS)}, got {what} in "
                     f"{path}")  # fmt: skip


def _unwrapped(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in WRAPPERS:  # one in another
        for prefix in WRAPPERS:
            if all(name.startswith(prefix) for name in state) and not any(name.startswith(prefix) for name in wanted):
                state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


class Moment(NamedTuple):
    """A checkpoint with its weights."""

    name: str
    step: int | float
    state: Mapping[str, Any]


def series(source: Any) -> Iterator[Moment]:
    """What may be given as checkpoints, in order, each read when it is asked for.

    A folder; a mapping name -> state_dict, module or path; a sequence of such, or of (step, state_dict) pairs; or an
    iterator of (step, state_dict). Names and paths that all have a number are put in the order of their numbers, others
    stay as they are given. Raises ValueError, naming what is wrong, for anything else.
    """
    if isinstance(source, str | Path):
        return (Moment(name, step, read(path)) for name, step, path in found(source))
    if isinstance(source, Mapping):
        return _named(source)
    if isinstance(source, Sequence) and source and all(isinstance(each, str | Path) for each in source):
        return _named({str(path): path for path in source})
    if not isinstance(source, Iterable):
        raise ValueError(f"checkpoints must be a folder, a mapping, a sequence or an iterator, got {source!r}")
    return (_moment(place, each) for place, each in enumerate(source))


def _named(source: Mapping[Any, Any]) -> Iterator[Moment]:
    if source and all(isinstance(value, Tensor) for value in source.values()):
        raise ValueError("checkpoints must be several sets of weights, got one state_dict; put it in a list: [state]")
    short = {key: _stem(key, value) for key, value in source.items()}
    told = {key: key if isinstance(key, int | float) else number(str(name)) for key, name in short.items()}
    steps = {key: step for key, step in told.items() if step is not None}
    if len(set(steps.values())) < len(source):
        steps = {key: place for place, key in enumerate(source)}
    order = sorted(source, key=lambda key: steps[key])
    return (Moment(str(short[key]), steps[key], _weights(source[key])) for key in order)


def _stem(key: Any, value: Any) -> Any:
    """The name of a checkpoint that is given by its path alone."""
    return Path(key).stem if isinstance(value, str | Path) and key == str(value) else key


def _moment(place: int, given: Any) -> Moment:
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], int | float):
        return Moment(f"{given[0]:g}", given[0], _weights(given[1]))
    return Moment(str(place), place, _weights(given))


def _weights(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str | Path):
        return read(given)
    if isinstance(given, nn.Module):
        return given.state_dict()
    if isinstance(given, Mapping):
        return given
    raise ValueError(
        f"a checkpoint must be a state_dict, a module, a path or a pair (step, state_dict), got {type(given).__name__}"
    )
