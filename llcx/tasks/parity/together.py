"""From settings to a training: the network, and the members of one width that are trained together."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llcx.tasks.parity import course, data
from llcx.tasks.parity.course import Dynamics
from llcx.tasks.parity.descent import Descending
from llcx.tasks.parity.ensemble import Ensemble, Member, Problem
from llcx.tasks.parity.flow import Flowing
from llcx.tasks.parity.network import FullyConnected, Probe
from llcx.tasks.parity.probes import Fourier
from llcx.tasks.parity.schema import Fit, Parity
from llcx.types import Streams, Training


class Arm(NamedTuple):
    """A member as the study sees it."""

    name: str  # no other arm's; one alone may have none
    alpha: float
    streams: Streams  # those of one seed have the same initial weights
    strings: Streams | None = None  # of its data; None: its own


def network(cfg: Parity) -> FullyConnected:
    """f."""
    return FullyConnected(cfg.model, cfg.data.inputs)


def ensemble(cfg: Parity, arms: Sequence[Arm]) -> Ensemble:
    """The members at their start."""
    net = network(cfg)
    watch = Fourier(net, cfg.data) if cfg.fit.checkpoints.fourier else None
    problem = Problem(net, cfg.loss, cfg.model.subtract, Probe(net, cfg.data.d), watch)
    return Ensemble(problem, [_member(cfg, net, arm) for arm in arms])


def dynamics(cfg: Fit) -> Dynamics:
    """What moves the members."""
    return Flowing(cfg.flow) if cfg.dynamics == "flow" else Descending(cfg.dynamics, cfg.descent)


def training(name: str, cfg: Parity, arms: Sequence[Arm], *, clock: Callable[[], float] = time.monotonic) -> Training:
    """Of all arms together; its snapshots are `course.role(milestone, arm.name)`."""
    return course.training(name, lambda: ensemble(cfg, arms), cfg.fit, dynamics(cfg.fit), clock=clock)


def _member(cfg: Parity, net: FullyConnected, arm: Arm) -> Member:
    fresh = None
    if cfg.data.online:
        fresh = data.fresh(cfg.data, arm.strings or arm.streams, cfg.fit.descent.batch_size or cfg.data.n_train)
    return Member(
        arm.name,
        net.initial(arm.streams.generator("weights")),
        data.draw(cfg.data, arm.strings or arm.streams),
        arm.alpha,
        cfg.fit.flow.tau(cfg.model.h, arm.alpha),
        arm.streams,
        fresh,
    )
