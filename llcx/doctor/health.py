"""A healthy run in words: what its numbers mean, and what could still be asked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llcx.artifacts import RunFolder
from llcx.doctor import command
from llcx.doctor.cures import number
from llcx.figures import flags, wording
from llcx.figures.rows import Row

TARGETS = {
    "data": "the excess of the loss over L(w*), on the labels",
    "self": "the mean KL divergence from the model at w*, its own teacher: the labels play no part",
}
CHECKS = {  # estimator.check -> what more could be asked, and how
    "off": ("Nothing was asked beside the run itself; the quick checks cost about a quarter more:", "quick"),
    "quick": ("What could still be checked: the run at four times its length, and a second sampler:", "full"),
}


def told(folder: RunFolder, config: Mapping[str, Any], every: Sequence[Row]) -> tuple[str, str]:
    """Advice and command where nothing is wrong."""
    words = f"Nothing is wrong. {means(every, config)}"
    level = (config.get("estimator") or {}).get("check", "quick")
    if level in CHECKS:
        more, check = CHECKS[level]
        return f"{words} {more}", command.again(folder, {"estimator.check": check})
    seed = int(config.get("seed") or 0) + int((config.get("task") or {}).get("seeds") or 1)
    more = "Every check was made. What is left is the study once more, on another seed:"
    return f"{words} {more}", command.again(folder, {"seed": str(seed)})


def means(every: Sequence[Row], config: Mapping[str, Any]) -> str:
    """Target, n*beta, gamma, whose value it is, what the localiser does to it, and what ended the runs."""
    targets = "; ".join(
        f"target={name}: {TARGETS.get(name, name)}" for name in dict.fromkeys(row.target for row in every)
    )
    at = f"n*beta = {wording.span([row.nbeta for row in every])}, gamma = {wording.span([row.gamma for row in every])}"
    mode = (config.get("estimator") or {}).get("mode") or "basin"
    whose = "of w* itself (mode=local)" if mode == "local" else "of the basin around w* (mode=basin)"
    parts = [f"The numbers are the values {whose} of {targets}; they belong to {at}, with which they are quoted."]
    moves = [abs(slope / row.llc) for row in every if math.isfinite(slope := number(row, "gamma_slope")) and row.llc]
    if moves:
        parts.append(f"Twice the gamma would move them by {wording.percent(math.log(2) * max(moves))} at most.")
    ended = sorted({row.raw.get("stopped_by", "draws") for row in every} - {"draws", ""})
    parts += [f"Some ended early: {flags.STOPPED.get(stop, stop)}." for stop in ended]
    raised = {name: [row for row in every if noted(row)] for name, noted in flags.NOTED.items()}
    return " ".join([*parts, *(f"{len(ill)} of {len(every)}: {said(name)}" for name, ill in raised.items() if ill)])


def said(name: str) -> str:
    return f"{flags.FLAGS[name].sentence} {flags.FLAGS[name].cure}"
