"""What task=full_attn leaves under analysis/: singular values and ranks along each training.

    spectra.csv      a row for each singular value of B and U, at each snapshot
    ranks.csv        a row for each snapshot: ranks at the task's tolerance, directions seen, both theories
    tolerances.csv   the ranks at tolerances 1e-1 .. 1e-6

B = W_Q W_K^T [d+1, d+1], M its block [d, d], U its first d rows: the last row of W_Q has no gradient and stays what it
was, so that B has one singular value more than training made.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llcx.tasks.attention.modules import FullAttention
from llcx.tasks.full_attn import answer
from llcx.tasks.full_attn.directions import costs
from llcx.tasks.full_attn.weights import NAMES, counted, key_query
from llcx.tasks.generic import Arm, GenericTask
from llcx.types import Snapshots, Tables

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
Row = dict[str, Any]


class Spectra(NamedTuple):
    """Singular values, descending."""

    of_b: Tensor
    of_m: Tensor
    of_u: Tensor

    def ranks(self, tolerance: float) -> Row:
        """Relative to the largest of each."""
        counts = [counted(values, tolerance) for values in self]
        return dict(zip(("rank_B", "rank_M", "rank_U"), counts, strict=True))


def analyse(task: GenericTask, snapshot: Snapshots) -> Tables:
    """Every snapshot that a training left, once whatever the number of views."""
    values, ranks, tolerances = list[Row](), list[Row](), list[Row]()
    for (training, role), at in _moments(task).items():
        state = snapshot(training, role)
        if state is None:
            continue
        module = FullAttention(*(torch.as_tensor(state[name]) for name in NAMES))
        found = spectra(module)
        values += [at | row for row in _values(found)]
        ranks.append(at | _ranks(task.arms[training], module, found))
        tolerances += [at | {"tolerance": tolerance} | found.ranks(tolerance) for tolerance in TOLERANCES]
    return Tables({"spectra": values, "ranks": ranks, "tolerances": tolerances} if ranks else {})


def spectra(module: FullAttention) -> Spectra:
    """As many values as each matrix can have, the inner width being d_l."""
    B = key_query(module)
    d_l = module.W_Q.shape[1]
    return Spectra(*(torch.linalg.svdvals(part)[:d_l] for part in (B, B[:-1, :-1], B[:-1])))


def _moments(task: GenericTask) -> dict[tuple[str, str], Row]:
    """(training, role) -> d, d_l, seed and time of every snapshot that a point is of."""
    found = {}
    for spec in task.points():
        if spec.training is not None:
            arm = task.arms[spec.training]
            fit, model = arm.cfg.fit, arm.cfg.model
            time = {fit.unit: spec.coords.get(fit.unit, fit.length)}
            found[spec.training, spec.role] = {"d": model.d, "d_l": model.d_l, "seed": arm.streams.seed} | time
    return found


def _values(found: Spectra) -> list[Row]:
    """One a singular value of B; U has d of them at most."""
    of_u = [*found.of_u.tolist(), *[None] * (len(found.of_b) - len(found.of_u))]
    pairs = zip(found.of_b.tolist(), of_u, strict=True)
    return [{"index": index, "sigma_B": b, "sigma_U": u} for index, (b, u) in enumerate(pairs, 1)]


def _ranks(arm: Arm, module: FullAttention, found: Spectra) -> Row:
    """`sigma_rank` is the smallest value of B that counts, `directions` how many of U cost 1e-4 nats or more."""
    cfg = replace(arm.cfg, view="full")
    ranks = found.ranks(cfg.rank_tolerance)
    known = answer.known(cfg, arm.streams, module)
    return {
        **ranks,
        "sigma_rank": float(found.of_b[max(ranks["rank_B"], 1) - 1]),
        "directions": sum(cost >= answer.SEEN for cost in costs(cfg, module)),
        **{name: known.extra[name] for name in ("lambda_B", "lambda_FA", "lambda_jacobian")},
    }
