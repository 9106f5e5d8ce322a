"""What task=parity leaves under analysis/: where members were at each moment, their kernels, and what those learn.

moments.csv    a row for each member and moment of its training: time, losses, errors, norms, change of the kernel
slopes.csv     a row for each two successive alphas of a width: d log t1 / d log alpha, the same of the kernel's change
               until t1 and until the end
kernels.csv    a row for each member and kernel of task.kernel.kinds: its statistics, and where its own flow ended
alpha_star.csv a row for each width: alpha*, where it is searched for, and the interval that holds it
ensembles.csv  a row for each alpha of a width with several seeds of the same strings: spread of F, error of its mean
spectra.npz    of each member and kernel: eigenvalues, labels along eigenvectors; grams.npz: init and final of two
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx.tasks.parity import bisection, course, duals, kinds, spectra, together
from llcx.tasks.parity.data import Strings
from llcx.tasks.parity.ensemble import Ensemble
from llcx.tasks.parity.kernels import Blocks, Layerwise, blocks
from llcx.tasks.parity.kinds import Study
from llcx.tasks.parity.schema import Parity
from llcx.tasks.parity.together import Arm
from llcx.types import Snapshots, State, Tables

Row = dict[str, Any]
SAID = ("train/loss", "train/err", "train/nd", "test/loss", "test/err", "train/norm", "train/dnorm")
MACHINE = ("train/err", "test/err", "train/aloss")  # of a kernel's own flow
DRAWN = 128  # rows of a kernel that is kept as a picture


class Group(NamedTuple):
    """Members that are one training."""

    name: str
    cfg: Parity
    coords: Mapping[str, Any]  # of the axes
    arms: Sequence[Arm]

    def about(self, arm: Arm) -> Row:
        """The columns that say whose row it is."""
        cfg = self.cfg
        which = {"training": self.name, "member": arm.name, "seed": arm.streams.seed, "h": cfg.model.h}
        scales = {"alpha": arm.alpha, "alpha_reduced": cfg.model.reduced(arm.alpha)}
        return {**which, **scales, "encoding": cfg.data.encoding, "bias_column": cfg.data.bias_column}


class Trained(NamedTuple):
    """A group and the snapshots that its training left."""

    group: Group
    ensemble: Ensemble
    states: Mapping[str, Mapping[int, State]]  # moment -> member -> snapshot

    def at(self, moment: str, members: Sequence[int]) -> Tensor:
        """Weights [m, P] of members at a moment that they have."""
        return torch.stack([torch.as_tensor(self.states[moment][i]["w"]) for i in members])


def analyse(groups: Sequence[Group], snapshot: Snapshots) -> Tables:
    """Of every training that left something."""
    tables: dict[str, list[Row]] = defaultdict(list)
    arrays: dict[str, Any] = {}
    for group in groups:
        tables["alpha_star"] += _alpha_star(group, snapshot)
        trained = _trained(group, snapshot)
        if trained is None:
            continue
        tables["moments"] += _moments(trained)
        machines = _kernels(trained)
        tables["kernels"] += [found.row for found in machines]
        arrays |= {f"spectra {group.name}": _spectra(machines)} if machines else {}
        tables["ensembles"] += _ensembles(trained)
        arrays |= {f"grams {group.name}": found} if (found := _grams(trained)) else {}
    tables["slopes"] = slopes(tables["moments"])
    return Tables({name: rows for name, rows in tables.items() if rows}, arrays)


def _trained(group: Group, snapshot: Snapshots) -> Trained | None:
    """None where not even the start was kept."""
    states: dict[str, dict[int, State]] = {}
    for moment in ("init", *course.milestones(group.cfg.fit), "final"):
        kept = {i: snapshot(group.name, course.role(moment, arm.name)) for i, arm in enumerate(group.arms)}
        states[moment] = {i: state for i, state in kept.items() if state is not None}
    if len(states["init"]) < len(group.arms):
        return None
    return Trained(group, together.ensemble(group.cfg, group.arms), states)


def _alpha_star(group: Group, snapshot: Snapshots) -> Iterator[Row]:
    found = snapshot(group.name, bisection.ROLE)
    if found is not None:
        low, high = float(found["low"]), float(found["high"])
        alpha, model = (low * high) ** 0.5, group.cfg.model
        about = {"training": group.name, "h": model.h, "out_scale": model.out_scale}
        star = {"alpha_star": alpha, "alpha_star_reduced": model.reduced(alpha), "low": low, "high": high}
        yield {**about, **star, "seeds": found["seeds"], "change": group.cfg.search.change}


def _moments(trained: Trained) -> Iterator[Row]:
    """In the order of members, then of time."""
    found: list[tuple[int, int, Row]] = []
    for moment, states in trained.states.items():
        members = sorted(states)
        if not members:
            continue
        told = _told(trained, moment, members)
        for place, i in enumerate(members):
            state, arm = states[i], trained.group.arms[i]
            when = {"moment": moment, **{key: state[key] for key in ("step", "t", "t1", "aloss")}}
            ended = {"stopped": state["stopped"] if moment == "final" else ""}
            values = {name: float(column[place]) for name, column in told.items()}
            found.append((i, int(state["step"]), {**trained.group.about(arm), **when, **ended, **values}))
    return (row for *_, row in sorted(found, key=lambda each: each[:2]))


def _told(trained: Trained, moment: str, members: Sequence[int]) -> dict[str, Tensor]:
    """Metrics [m] of members at a moment, and what became of their kernels until then."""
    some, w = trained.ensemble.only(members), trained.at(moment, members)
    measured = some.measured(w, some.model.outputs(w, some.data.x_train))
    told = {key.replace("/", "_"): measured[key] for key in SAID if key in measured}
    told |= {name: measured[f"train/{name}"] for name in ("relevant", "irrelevant")}
    rows = min(trained.group.cfg.kernel.rows, some.data.x_train.shape[1])
    if rows < 2:
        return told
    now, first = (_gram(trained, some, at, rows) for at in (w, trained.at("init", members)))
    y = some.data.y_train[:, :rows]
    told |= {"kernel_change": spectra.change(now, first), "alignment": spectra.alignment(now, y)}
    return told | {"dimension": spectra.intrinsic_dimension(now)}


def _gram(trained: Trained, some: Ensemble, w: Tensor, rows: int) -> Tensor:
    x = some.data.x_train[:, :rows]
    return blocks(_source(trained.group.cfg), w, x, x[:, :0], tete=False).trtr


def _source(cfg: Parity) -> Layerwise:
    return Layerwise(together.network(cfg))


def slopes(moments: Sequence[Row]) -> list[Row]:
    """Between successive alphas of a member's own start: -1 for all where training is lazy."""
    ladders: dict[tuple[Any, ...], dict[float, Row]] = defaultdict(lambda: defaultdict(dict))
    for row in moments:
        if row["moment"] in ("t1", "final"):
            rung = {"h": row["h"], "t1": row["t1"], f"kernel_change_{row['moment']}": row.get("kernel_change")}
            ladders[row["training"], row["seed"]][row["alpha"]] |= rung
    found = []
    for (training, seed), ladder in ladders.items():
        for low, high in pairwise(sorted(ladder)):
            whose = {"training": training, "seed": seed, "h": ladder[low]["h"], "alpha_low": low, "alpha_high": high}
            names = ("t1", "kernel_change_t1", "kernel_change_final")
            span = log(high / low)
            found.append(
                {**whose, **{f"slope_{name}": _slope(ladder[low], ladder[high], name, span) for name in names}}
            )
    return found


def _slope(low: Row, high: Row, name: str, span: float) -> float | None:
    """None where there is no such number."""
    below, above = low.get(name), high.get(name)
    if below is None or above is None or not (below > 0 and above > 0):
        return None
    return log(above / below) / span


class _Kernel(NamedTuple):
    """A kernel of one member."""

    label: str
    row: Row
    spectrum: spectra.Spectrum  # of one member: [1, N]


def _kernels(trained: Trained) -> list[_Kernel]:
    """Every kind that is asked for, of the members that came as far as it needs."""
    return [found for kind in trained.group.cfg.kernel.kinds for found in _kernels_of(trained, kind)]


def _kernels_of(trained: Trained, kind: str) -> list[_Kernel]:
    group, needed = trained.group, kinds.roles(kind)
    members = [i for i in range(len(group.arms)) if all(i in trained.states[role] for role in needed)]
    if not members:
        return []
    owners = _owners(group.arms, members, alike=kind == "init")
    distinct = sorted(set(owners.values()))
    some = trained.ensemble.only(distinct)
    weights = {role: trained.at(role, distinct) for role in needed}
    study = Study(_source(group.cfg), some.data, group.cfg.data.d, _probe(some))
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
        found.append(_Kernel(",".join(part for part in (group.arms[i].name, kind) if part), row, own_spectrum))
    return found


def interpolated(theta: Blocks, strings: Strings) -> dict[str, Tensor]:
    """Errors [M] of the interpolation of least norm in a kernel's own space, where its flow of mse would end."""
    phi = duals.features(theta)
    w = torch.linalg.lstsq(phi.train, strings.y_train.unsqueeze(2), driver="gelsd").solution
    found = {}
    for split, x, y in (("train", phi.train, strings.y_train), ("test", phi.test, strings.y_test)):
        found[f"interpolation_{split}_err"] = (((x @ w).squeeze(2) * y) <= 0).double().mean(1)
    return found


def _owners(arms: Sequence[Arm], members: Sequence[int], *, alike: bool) -> dict[int, int]:
    """member -> the first member with the same kernel; `alike`: all those of a seed have one."""
    first: dict[int, int] = {}
    return {i: first.setdefault(arms[i].streams.seed, i) if alike else i for i in members}


def _probe(some: Ensemble) -> Any:
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


def _spectra(found: Sequence[_Kernel]) -> dict[str, Any]:
    """`values <member>,<kernel>` and `projections ..` [N]."""
    arrays = {}
    for each in found:
        arrays[f"values {each.label}"] = each.spectrum.values[0].numpy()
        arrays[f"projections {each.label}"] = each.spectrum.projections[0].numpy()
    return arrays


def _ensembles(trained: Trained) -> Iterator[Row]:
    """Of the members of one alpha whose seeds share their strings, at the end."""
    group, cfg = trained.group, trained.group.cfg
    if not cfg.data.fixed or cfg.seeds < 2 or cfg.data.n_test == 0:
        return
    for alpha in dict.fromkeys(arm.alpha for arm in group.arms):
        members = [i for i in sorted(trained.states["final"]) if group.arms[i].alpha == alpha]
        if len(members) < 2:
            continue
        some, w = trained.ensemble.only(members), trained.at("final", members)
        f = alpha * (some.model.outputs(w, some.data.x_test) - some.base_test)
        y, mean = some.data.y_test[0], f.mean(0)
        errors = ((f * y) <= 0).double().mean(1)
        about = {"training": group.name, "h": cfg.model.h, "alpha": alpha, "alpha_reduced": cfg.model.reduced(alpha)}
        spread = {"variance": float(f.var(0).mean()), "mean_square": float(mean.square().mean())}
        wrong = {"error": float(errors.mean()), "error_of_mean": float(((mean * y) <= 0).double().mean())}
        yield {**about, "seeds": len(members), **spread, **wrong}


def _grams(trained: Trained) -> dict[str, Any]:
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
            gram = _gram(trained, some, trained.at(moment, [i]), rows)[0]
            found[f"{moment} {group.arms[i].name}".strip()] = gram[order][:, order].float().numpy()
    return found
