"""mcl_training.png: what was minimised, term by term, and what came of it along training."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import mcl_panels, mcl_study, style
from llcx.figures.mcl_study import Study

TERMS = {"task": "task", "share": "sharing", "sae": "autoencoder", "prim": "primitives"}
WEIGHTED: Any = (0, (4, 1.6))
OTHER: Any = (0, (1, 1.3))
Panel = Callable[[Axes, Study], None]


@style.look
def figure(study: Study) -> Figure | None:
    """A panel a quantity, a curve an arm; None where nothing was trained."""
    if not study.curves:
        return None
    terms = [term for term in TERMS if told(study, f"loss/{term}")]
    kinds = {name: panel for name, panel in REST.items() if told(study, name)}
    count = len(terms) + len(kinds)
    across = 3 if count < 7 or count == 9 else 4
    picture, axes = style.grid(count, across, 0.66 if across == 3 else 0.8)
    for axis, term in zip(axes, terms, strict=False):
        loss(axis, study, term)
    for axis, panel in zip(axes[len(terms) :], kinds.values(), strict=True):
        panel(axis, study)
    style.outer_labels(axes, "step", "")
    return style.finish(picture, "Mutual concepts: training", notes(study), keys(study))


def told(study: Study, name: str) -> bool:
    return any(study.courses(arm, name) for arm in study.arms)


def loss(axis: Axes, study: Study, term: str) -> None:
    """A term as it is, and as it stands in the total; of an arm that does not minimise it, as it is alone."""
    values = []
    for arm in study.arms:
        raw, weighted = (study.courses(arm, f"{kind}/{term}") for kind in ("loss", "weighted"))
        values.append(mcl_panels.curves(axis, raw, arm.colour))
        if term != "task":
            values.append(mcl_panels.curves(axis, weighted, arm.colour, band=False, ls=WEIGHTED, lw=1.2))
    if style.wide(np.concatenate(values)):
        axis.set_yscale("log")
    axis.set_title(f"loss: {TERMS[term]}")


def scores(axis: Axes, study: Study) -> None:
    """IoU of trained compositions, and of held-out ones; what copying the input scores."""
    for arm in study.arms:
        mcl_panels.curves(axis, study.courses(arm, "val_id/iou"), arm.colour)
        mcl_panels.curves(axis, study.courses(arm, "val_ood/iou"), arm.colour, band=False, ls=WEIGHTED, lw=1.2)
    copied = [mcl_study.number(cells, "copy_iou") for cells in study.table("runs")]
    if np.isfinite(copied).any():
        axis.axhline(float(np.nanmean(copied)), color=style.MUTED, lw=1.1, ls=OTHER)
    axis.set_title("macro IoU")


def shared(axis: Axes, study: Study) -> None:
    """Distance of the groups' subspaces in h, and that of halves of groups."""
    for arm in study.arms:
        mcl_panels.curves(axis, study.courses(arm, "h/norm"), arm.colour)
        mcl_panels.curves(axis, study.courses(arm, "h/floor"), arm.colour, band=False, ls=OTHER, lw=1.2)
    axis.set_ylim(bottom=0)
    axis.set_title("distance of groups in h")


def active(axis: Axes, study: Study) -> None:
    """Share of sparse units that are on; the target."""
    values = [mcl_panels.curves(axis, study.courses(arm, "sae/rate"), arm.colour) for arm in study.arms]
    axis.axhline(study.setting("sae", "rate", np.nan), color=style.KNOWN, lw=4, alpha=0.35, zorder=1.5)
    if style.wide(np.concatenate(values)):
        axis.set_yscale("log")
    axis.set_title("sparse units that are on [share]")


def rank(axis: Axes, study: Study) -> None:
    values = [mcl_panels.curves(axis, study.courses(arm, "h/rank"), arm.colour) for arm in study.arms]
    if style.wide(np.concatenate(values)):
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    axis.set_title("effective rank of h")


def gradient(axis: Axes, study: Study) -> None:
    """Of all gradients on h."""
    for arm in study.arms:
        mcl_panels.curves(axis, study.courses(arm, "gradient_share/share"), arm.colour)
    axis.set_ylim(bottom=0)
    axis.set_title("sharing's part of the gradient on h")


REST: dict[str, Panel] = {
    "val_id/iou": scores,
    "h/norm": shared,
    "sae/rate": active,
    "h/rank": rank,
    "gradient_share/share": gradient,
}


def keys(study: Study) -> dict[str, Any]:
    """The legend: arms, then what the dashes are."""
    found = mcl_panels.key(study.arms)
    if any(told(study, f"weighted/{term}") for term in ("share", "sae", "prim")):
        found["weighted loss"] = mcl_panels.dashed(WEIGHTED)
    if told(study, "val_ood/iou"):
        found["IoU of val_ood (solid: val_id)"] = mcl_panels.dashed(WEIGHTED)
    if any(mcl_study.number(cells, "copy_iou") > 0 for cells in study.table("runs")):
        found["IoU of the input itself"] = mcl_panels.dashed(OTHER)
    if told(study, "h/floor"):
        found["distance of halves of one group (noise floor)"] = mcl_panels.dashed(OTHER)
    if told(study, "sae/rate"):
        found["target rate"] = mcl_panels.wide()
    return found


def notes(study: Study) -> list[str]:
    over = " Means over seeds, bands from least to greatest." if study.seeds > 1 else ""
    text = "Losses are of one batch at each evaluation. A sharing loss without its weighted curve is looked at, not "
    text += (
        "minimised. Distance: of the groups' k leading directions from their mean, 0 the same, 1 random ones." + over
    )
    return [mcl_study.conditions(study), text]
