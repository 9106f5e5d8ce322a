"""What a run's names stand for: the model, its data and its loss, imported once and checked."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.utils._pytree import tree_leaves

from llcx import checkpoints, given, rng
from llcx.likelihoods import Bernoulli, Categorical, Gaussian
from llcx.tasks.custom.names import Names
from llcx.tasks.custom.schema import TRAINED, Custom
from llcx.types import Batch, Data, StatModel, Streams


class Brought:
    """Model, data and loss of a configuration; a data set is made once a seed."""

    def __init__(self, cfg: Custom) -> None:
        named = Names()
        self._model = named("task.model", str(cfg.model))
        self._sets = {"": named("task.data", str(cfg.data))}
        self._sets |= {key: named(f"task.others.{key}", text) for key, text in cfg.others.items()}
        self.loss = likelihood(cfg, named)
        self.kl = getattr(self.loss, "kl", None)
        self.forward = None if cfg.forward is None else function("task.forward", named("task.forward", cfg.forward))
        self._data: dict[tuple[int, str], Data] = {}

    def model(self, cfg: Custom, streams: Streams) -> StatModel:
        """At the weights that `cfg` names; where none are, or they are trained, as it is built."""
        with rng.seeded(streams.generator("init")):
            found = made("task.model", self._model, cfg.model_args)
        if not isinstance(found, nn.Module):
            raise ValueError(
                f"task.model must name a torch.nn.Module or what makes one, got {cfg.model}, a {type(found).__name__}"
            )
        module = copy.deepcopy(found) if found is self._model else found
        if cfg.weights not in (None, TRAINED):
            checkpoints.into(module, checkpoints.read(str(cfg.weights)))
        root = getattr(self.loss, "root", None)
        return StatModel(module, given.summed(self.loss, cfg.n), self.kl, forward=self.forward, root=root)

    def data(self, cfg: Custom, streams: Streams) -> Data:
        """The rows that the posterior is of."""
        rows = self._rows(cfg, streams, "", cfg.data_args)
        if self.forward is None and not isinstance(rows.train, tuple | list):
            raise ValueError(
                "task.forward must name (model, batch) -> output for data of type "
                f"{type(rows.train).__name__}, got null"
            )
        return rows

    def others(self, cfg: Custom, streams: Streams) -> Mapping[str, Data]:
        """Further data sets, by name."""
        return {key: self._rows(cfg, streams, key, {}) for key in cfg.others}

    def _rows(self, cfg: Custom, streams: Streams, which: str, settings: Mapping[str, Any]) -> Data:
        if (streams.seed, which) not in self._data:
            key = f"task.others.{which}" if which else "task.data"
            with rng.seeded(streams.generator(f"data/{which}" if which else "data")):
                rows = stacked(key, made(key, self._sets[which], settings))
            count = len(tree_leaves(rows)[0])
            self._data[streams.seed, which] = Data(rows, count if which or cfg.n is None else cfg.n)
        return self._data[streams.seed, which]


def made(key: str, found: Any, settings: Mapping[str, Any]) -> Any:
    """The thing itself, or what a class or a function makes of `settings`."""
    is_thing = isinstance(found, nn.Module) or (hasattr(found, "__len__") and not isinstance(found, type))
    if not is_thing and callable(found):
        return found(**settings)
    if settings:
        raise ValueError(f"{key}_args must be empty where {key} names no function or class, got {dict(settings)}")
    return found


def function(key: str, found: Any) -> Any:
    if not callable(found):
        raise ValueError(f"{key} must name a function, got a {type(found).__name__}")
    return found


def likelihood(cfg: Custom, named: Names) -> Any:
    """A loss in nats: one of llcx's, which know their divergence, or the user's, which may have a method kl."""
    if cfg.loss == "gaussian":
        return Gaussian(float(cfg.noise_std or 0), labels=cfg.labels)
    own = {"categorical": Categorical, "bernoulli": Bernoulli}.get(str(cfg.loss))
    if own is not None:
        return own(labels=cfg.labels)
    found = named("task.loss", str(cfg.loss))
    return function("task.loss", found() if isinstance(found, type) else found)


def stacked(key: str, data: Any) -> Batch:
    """Rows of stacked tensors; ValueError, naming `key`, where they cannot be."""
    try:
        return given.rows(data)
    except ValueError as error:
        raise ValueError(f"{error}".replace("data must", f"{key} must", 1)) from error
