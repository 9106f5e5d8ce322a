"""Kernels of the members of a study: what is read off them, and where their own flows end."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx.tasks.parity import duals, kinds, spectra
from llcx.tasks.parity.data import Strings
from llcx.tasks.parity.ensemble import Ensemble, Probe
from llcx.tasks.parity.kernels import Blocks
from llcx.tasks.parity.kinds import Study
from llcx.tasks.parity.together import Arm
from llcx.tasks.parity.trained import Row, Trained, gram, source

MACHINE = ("train/err", "test/err", "train/aloss")  # of a kernel's own flow
DRAWN = 128  # rows of a kernel that is kept as a picture


class Kernel(NamedTuple):
    """A kernel of one member."""

    label: str
    row: Row
    spectrum: spectra.Spectrum  # of one member: [1, N]


def kernels(trained: Trained) -> list[Kernel]:
    """Every kind that is asked for, of the members that came as far as it needs."""
    return [found for kind in trained.group.cfg.kernel.kinds for found in _kernels_of(trained, kind)]


def _kernels_of(trained: Trained, kind: str) -> list[Kernel]:
    group, needed = trained.group, kinds.roles(kind)
    members = [i for i in range(len(group.arms)) if all(i in trained.states[role] for role in needed)]
    if not members:
        return []
    owners = _owners(group.arms, members, alike=kind == "init")
    distinct = sorted(set(owners.values()))
    some = trained.ensemble.only(distinct)
    weights = {role: trained.at(role, distinct) for role in needed}
    study = Study(source(group.cfg), some.data, group.cfg.data.d, _probe(some))
    theta = study.kernel(kind, weights, tete=False)
    statistics = spectra.statistics(theta.trtr, some.data.y_train)
    spectrum = spectra.spectrum(theta.trtr, some.data.y_train)
    place = {i: distinct.index(owner) for i, owner in owners.items()}
    ends, limits = dict[int, Row](), dict[str, Tensor]()
    if kinds.trainable(kind):
        ends, limits = _machines(trained, theta, some.data, place), interpolated(theta, some.data)
    found = []
    for i in members:
        own = {name: float(values[place[i]]) for name, values in {**statistics, **limits}.items()}
        row = {**group.about(group.arms[i]), "kernel": kind, **own, **ends.get(i, {})}
        own_spectrum = spectra.Spectrum(*(part[place[i] : place[i] + 1] for part in spectrum))
        found.append(Kernel(",".join(part for part in (group.arms[i].name, kind) if part), row, own_spectrum))
    return found


def interpolated(theta: Blocks, strings: Strings) -> dict[str, Tensor]:
    """Errors [M] of the interpolation of least norm in a kernel's own space, where its flow of mse would end."""
    phi, found = duals.features(theta), {}
    w = phi.duals.mT @ strings.y_train.unsqueeze(2)  # S^(-1/2) V^T y
    for split, x, y in (("train", phi.train, strings.y_train), ("test", phi.test, strings.y_test)):
        found[f"interpolation_{split}_err"] = (((x @ w).squeeze(2) * y) <= 0).double().mean(1)
    return found


def _owners(arms: Sequence[Arm], members: Sequence[int], *, alike: bool) -> dict[int, int]:
    """member -> the first member with the same kernel; `alike`: all those of a seed have one."""
    first: dict[int, int] = {}
    return {i: first.setdefault(arms[i].streams.seed, i) if alike else i for i in members}


def _probe(some: Ensemble) -> Probe:
    if some.problem.probe is None:
        raise ValueError("the ensemble must have a probe, got none; kernels need the relevant weights")
    return some.problem.probe


def _machines(trained: Trained, theta: Blocks, strings: Strings, place: Mapping[int, int]) -> dict[int, Row]:
    """member -> where the flow with its kernel ended, at the same alpha, momentum and stop as the network's."""
    group, cfg = trained.group, trained.group.cfg
    asked = [
        duals.Machine(str(i), at, group.arms[i].alpha, cfg.fit.flow.tau(cfg.model.h, group.arms[i].alpha))
        for i, at in place.items()
    ]
    training = duals.flow(f"{group.name} kernel", theta, strings, asked, cfg.loss, cfg.fit)
    ends: dict[int, Row] = {}
    last: dict[str, float] = {}
    for event in training.steps(training.start()):
        last.update(event.metrics)
        for role, state in event.snapshots.items():
            moment, _, name = role.partition("/")
            if moment == "final":
                ends[int(name)] = {f"machine_{key}": state[key] for key in ("step", "t", "t1", "stopped")}
    for i, end in ends.items():
        for split, name in (key.split("/") for key in MACHINE):
            end[f"machine_{split}_{name}"] = last.get(f"{split} {i}/{name}")
    return ends


def decompositions(found: Sequence[Kernel]) -> dict[str, Any]:
    """`values <member>,<kernel>` and `projections ..` [N], `vectors ..` [N, 3] of the largest values."""
    arrays = {}
    for each in found:
        arrays[f"values {each.label}"] = each.spectrum.values[0].numpy()
        arrays[f"projections {each.label}"] = each.spectrum.projections[0].numpy()
        arrays[f"vectors {each.label}"] = each.spectrum.vectors[0].numpy()
    return arrays


def grams(trained: Trained) -> dict[str, Any]:
    """`init <member>`, `final <member>` [R, R] of the first seed's smallest and largest alpha.

    Rows are ordered by their labels, then by their relevant bits.
    """
    group, cfg = trained.group, trained.group.cfg
    first = [i for i, arm in enumerate(group.arms) if arm.streams.seed == group.arms[0].streams.seed]
    ends = [i for i in first if i in trained.states["final"]]
    rows = min(DRAWN, cfg.kernel.rows, cfg.data.n_train)
    if not ends or rows < 2:
        return {}
    ordered = sorted(ends, key=lambda i: group.arms[i].alpha)
    found = {}
    for i in dict.fromkeys((ordered[0], ordered[-1])):
        some = trained.ensemble.only([i])
        x, y, support = some.data.x_train[0, :rows], some.data.y_train[0, :rows], some.data.support[0]
        alike = (x[:, support].double() @ 2.0 ** torch.arange(len(support)).double()).argsort(stable=True)
        order = alike[y[alike].argsort(stable=True)]
        for moment in ("init", "final"):
            image = gram(cfg, some, trained.at(moment, [i]), rows)[0]
            found[f"{moment} {group.arms[i].name}".strip()] = image[order][:, order].float().numpy()
    return found
