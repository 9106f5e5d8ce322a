"""What task=parity leaves under analysis/: where members were at each moment, their kernels, and what those learn.

moments.csv    a row for each member and moment of its training: time, losses, errors, norms, change of the kernel
slopes.csv     a row for each two successive alphas of a width: d log t1 / d log alpha, the same of the kernel's change
               until t1 and until the end
kernels.csv    a row for each member and kernel of task.kernel.kinds: its statistics, and where its own flow ended
alpha_star.csv a row for each width: alpha*, where it is searched for, and the interval that holds it
neurons.csv    a row for each neuron at each moment of networks of one hidden layer with nothing subtracted: its norm
sparsity.csv   a row for each of these networks and moments: how few of its neurons say what all of them say
ensembles.csv  a row for each alpha of a width with several seeds of the same strings: spread of F, error of its mean
spectra.npz    of each member and kernel: eigenvalues, labels along eigenvectors, the first three of these
grams.npz      kernels at the start and at the end, of two members
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log
from typing import Any

from torch import Tensor

from llcx.tasks.parity import bisection, machines, neurons, spectra, together
from llcx.tasks.parity.trained import Group, Row, Trained, gram, left
from llcx.types import Snapshots, Tables

SAID = ("train/loss", "train/err", "train/nd", "test/loss", "test/err", "train/norm", "train/dnorm")
FAITHFUL = 0.98  # of a network that is pruned: share of the strings on which it says what the whole one says


def analyse(groups: Sequence[Group], snapshot: Snapshots) -> Tables:
    """Of every training that left something."""
    tables: dict[str, list[Row]] = defaultdict(list)
    arrays: dict[str, Any] = {}
    for group in groups:
        tables["alpha_star"] += _alpha_star(group, snapshot)
        trained = left(group, snapshot)
        if trained is None:
            continue
        tables["moments"] += _moments(trained)
        kernels = machines.kernels(trained)
        tables["kernels"] += [found.row for found in kernels]
        arrays |= {f"spectra {group.name}": machines.decompositions(kernels)} if kernels else {}
        tables["ensembles"] += _ensembles(trained)
        arrays |= {f"grams {group.name}": found} if (found := machines.grams(trained)) else {}
        norms, needed = _neurons(trained)
        tables["neurons"] += norms
        tables["sparsity"] += needed
    tables["slopes"] = slopes(tables["moments"])
    return Tables({name: rows for name, rows in tables.items() if rows}, arrays)


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
    now, first = (gram(trained.group.cfg, some, at, rows) for at in (w, trained.at("init", members)))
    y = some.data.y_train[:, :rows]
    told |= {"kernel_change": spectra.change(now, first), "alignment": spectra.alignment(now, y)}
    return told | {"dimension": spectra.intrinsic_dimension(now)}


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


def _neurons(trained: Trained) -> tuple[list[Row], list[Row]]:
    """Rows of neurons.csv and of sparsity.csv."""
    group, norms, needed = trained.group, list[Row](), list[Row]()
    if group.cfg.model.layers > 1 or group.cfg.model.subtract:
        return norms, needed
    net = together.network(group.cfg)
    for moment, members in ((moment, sorted(states)) for moment, states in trained.states.items() if states):
        some, w = trained.ensemble.only(members), trained.at(moment, members)
        sizes = neurons.norms(net, w).sort(1, descending=True).values
        cut, test = (
            neurons.pruned(net, w, x, y)
            for x, y in ((some.data.x_train, some.data.y_train), (some.data.x_test, some.data.y_test))
        )
        fewest, many = neurons.sparsity(cut, FAITHFUL), neurons.effective(sizes)
        right = test.accuracy.gather(1, fewest.unsqueeze(1) - 1).squeeze(1)
        for place, i in enumerate(members):
            about = {**group.about(group.arms[i]), "moment": moment}
            norms += [{**about, "neuron": k, "norm": size} for k, size in enumerate(sizes[place].tolist(), 1)]
            told = {"neurons_needed": int(fewest[place]), "accuracy": float(right[place])}
            needed.append({**about, **told, "effective_neurons": float(many[place])})
    return norms, needed
