"""Gradient flow with continuous momentum, a member's steps as large as its gradient and its outputs allow.

    tau > 0   v' = -(v + g) / tau,         v <- q v - (1 - q) g with q = e^{-dt / tau}
    tau < 0   v' = -(|tau| / t) (v + g),   q = (t / (t + dt))^|tau|
    tau = 0   v = -g,                      q = 0

and w <- w + dt v: exact in v for a constant g, of first order in dt. A step is accepted where

    dgrad = |g - g'|^2 / (|g| |g'|) < max_dgrad   and   dout = max_i |F_i - F_i'| < max_dout,

dt grows by a tenth where both are below half of that, and a rejected member goes back and tries a tenth of dt.

The slope of hinge jumps where a row reaches the margin, and no dt makes that small. So for hinge dgrad is taken with
the slopes held: how far the network turned; max_dout alone bounds how far a row goes past the margin in one step. The
gradient of a relu network jumps too, mostly by less; where by more, members creep up to the jump until dt < 1e-9 t and
end as `stalled`: max_dgrad = null is for them, or softplus with a large beta.

Geiger, Spigler, Jacot and Wyart (2020), "Disentangling feature and lazy training in deep neural networks",
arXiv:1906.08034.
"""

from collections.abc import Mapping
from math import inf

import torch
from jaxtyping import Bool
from torch import Tensor

from llcx.tasks.parity.course import ENDS, Rows
from llcx.tasks.parity.ensemble import Ensemble, PerMember
from llcx.tasks.parity.network import Members
from llcx.tasks.parity.schema import Flow

LEAST = 1e-9  # of t: a step so small is none
TINY = 1e-100  # at t = 0
LAST = ("used", "dgrad", "dout")  # of the last accepted step
COUNTS = ("accepted", "rejected")  # steps


class Flowing:
    """The flow as a course's dynamics; a step is one tried, so that members go alike alone and together."""

    every_step = True

    def __init__(self, cfg: Flow) -> None:
        self.cfg = cfg
        self.max_dgrad = inf if cfg.max_dgrad is None else cfg.max_dgrad
        self.max_dout = inf if cfg.max_dout is None else cfg.max_dout

    def begin(self, ensemble: Ensemble) -> Rows:
        w = ensemble.w0
        f, g = ensemble.pull(w)
        zero = torch.zeros(len(w), dtype=torch.float64)
        moving = {"w": w, "v": torch.zeros_like(w), "g": g, "f": f, "t": zero, "dt": zero + self.cfg.dt0}
        return {**moving, **dict.fromkeys(LAST, zero), **dict.fromkeys(COUNTS, zero.long())}

    def advance(self, ensemble: Ensemble, rows: Rows, step: int, look: bool) -> Rows:
        del step, look
        dt = rows["dt"]
        q = friction(ensemble.tau, rows["t"], dt).to(rows["w"]).unsqueeze(1)
        v = q * rows["v"] - (1 - q) * rows["g"]
        w = rows["w"] + dt.to(v).unsqueeze(1) * v
        f, g = ensemble.pull(w)
        held = ensemble.pull_held(w, rows["f"]) if ensemble.problem.loss.kind == "hinge" else g
        dgrad, dout = turned(rows["g"], held), (ensemble.alpha * (f - rows["f"]).abs().amax(1)).double()
        ok = (dgrad < self.max_dgrad) & (dout < self.max_dout)
        calm = (dgrad < 0.5 * self.max_dgrad) & (dout < 0.5 * self.max_dout)
        moved = {"w": w, "v": v, "g": g, "f": f, "t": rows["t"] + dt, "used": dt, "dgrad": dgrad, "dout": dout}
        moved = rows | {key: _where(ok, value, rows[key]) for key, value in moved.items()}
        moved |= {"dt": torch.where(ok, torch.where(calm, dt * 1.1, dt), dt / 10)}
        moved |= {"accepted": rows["accepted"] + ok.long(), "rejected": rows["rejected"] + (~ok).long()}
        return moved | {"stopped": _ends(moved, ok, f)}

    def told(self, rows: Rows) -> Mapping[str, Tensor]:
        """The last accepted step's dt, dgrad and dout; the gradient where it led; how many were accepted and not."""
        told = {name: rows[name] for name in ("dgrad", "dout", *COUNTS)}
        return {"dt": rows["used"], "grad_norm": rows["g"].norm(dim=1), **told}


def friction(tau: PerMember, t: PerMember, dt: PerMember) -> PerMember:
    """q, what a step from t to t + dt leaves of the velocity."""
    fading = torch.exp(-dt / tau.clamp(min=torch.finfo(tau.dtype).tiny))
    ageing = (t / (t + dt)) ** -tau.clamp(max=0)
    return torch.where(tau > 0, fading, torch.where(tau < 0, ageing, 0.0))


def turned(g: Members, other: Members) -> PerMember:
    """|g - g'|^2 / (|g| |g'|) of each member, float64; 0 where one of them is."""
    lengths = g.norm(dim=1).double() * other.norm(dim=1).double()
    return torch.where(lengths == 0, 0.0, (g - other).square().sum(1).double() / lengths)


def _where(accepted: Bool[Tensor, " M"], new: Tensor, old: Tensor) -> Tensor:
    """Row by row."""
    return new if bool(accepted.all()) else torch.where(accepted.view(-1, *[1] * (new.ndim - 1)), new, old)


def _ends(rows: Rows, accepted: Bool[Tensor, " M"], tried: Tensor) -> Tensor:
    """`stopped` with the flow's own reasons: there is no gradient, or no step was small enough."""
    at_rest = rows["g"].abs().amax(1) == 0
    why = torch.where(tried.isfinite().all(1), ENDS.index("stalled"), ENDS.index("not_finite"))
    found = torch.where(~accepted & (rows["dt"] < (LEAST * rows["t"]).clamp(min=TINY)), why, rows["stopped"])
    return torch.where(at_rest, ENDS.index("zero_gradient"), found)
