"""mcl_causal.png: what a subspace of h is worth: the score without it, against random and against the largest ones."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import mcl_panels, mcl_study, style
from llcx.figures.mcl_study import Cells, Study

KINDS = {  # of removal -> marker, name, what it is
    "shared": ("o", "shared", "the subspace that trained tasks share"),
    "random": ("s", "random", "random subspaces"),
    "rows": ("^", "of rows", "random ones, spanned by rows"),
    "total": ("D", "largest", "the directions of most variance"),
    "splice": ("P", "spliced", "nothing taken out: h as the autoencoder makes it"),
}


@style.look
def figure(study: Study) -> Figure | None:
    """Drops a kind and arm; beside them the same against the variance that went. None without causal.csv."""
    table = study.table("causal")
    if not table:
        return None
    kinds = [kind for kind in KINDS if any(cells["kind"] == kind for cells in table)]
    picture = Figure(figsize=(style.WIDTH, 4.9), layout="constrained")
    left, right = picture.subplots(1, 2, width_ratios=[1.5, 1])
    by_kind(left, study, table, kinds)
    against_variance(right, study, table, kinds)
    left.set_ylabel("drop of macro IoU [share of it]")
    title = "Mutual concepts: what is lost without a subspace of h"
    return style.finish(picture, title, [mcl_study.conditions(study), told(study)], keys(study, kinds))


def by_kind(axis: Axes, study: Study, table: Sequence[Cells], kinds: Sequence[str]) -> None:
    """A dot a seed."""
    shifts = mcl_panels.offsets(len(study.arms))
    for place, kind in enumerate(kinds):
        for shift, arm in zip(shifts, study.arms, strict=True):
            values = mcl_study.by_seed(mcl_study.where(table, kind=kind), arm, "drop")
            look: Any = {"width": 0.75 / len(shifts), "marker": KINDS[kind][0]}
            mcl_panels.dots(axis, place + shift, values, arm.colour, **look)
    axis.axhline(0, color=style.INK, lw=0.8, zorder=1.5)
    mcl_panels.places(axis, [KINDS[kind][1] for kind in kinds])
    axis.set_title("by what is taken out")


def against_variance(axis: Axes, study: Study, table: Sequence[Cells], kinds: Sequence[str]) -> None:
    """A marker a seed."""
    for arm in study.arms:
        for kind in kinds:
            of = mcl_study.where(table, kind=kind)
            x, y = (mcl_study.by_seed(of, arm, value) for value in ("variance", "drop"))
            if len(x) == len(y) > 0:
                pairs = list(zip(x.tolist(), y.tolist(), strict=True))
                style.dots(axis, pairs, arm.colour, KINDS[kind][0], hollow=False, s=34)
    axis.axhline(0, color=style.INK, lw=0.8, zorder=1.5)
    axis.set_xlabel("variance of h that went [share]")
    axis.set_title("against the variance that went")


def keys(study: Study, kinds: Sequence[str]) -> dict[str, Any]:
    """The legend: arms by colour, kinds by marker."""
    found: dict[str, Any] = {arm.label: style.key(line="-", color=arm.colour) for arm in study.arms}
    return found | {KINDS[kind][2]: style.key(KINDS[kind][0], color=style.MUTED) for kind in kinds}


def told(study: Study) -> str:
    text = f"h of compositions never trained, less its part in {study.setting('share', 'k', '?')} directions, decoded; "
    text += "the shared ones are found on trained compositions. Means over compositions. A subspace that holds much of "
    text += "h's variance is missed whatever it means: compare at one variance."
    return text + (" A dot a seed." if study.seeds > 1 else "")
