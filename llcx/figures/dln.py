"""Deep linear networks: estimate against Aoyagi's exact value over many networks, and the errors by class of size.

llc_loglog.png where a run has more than one network; dln_scaling.png where it pools several classes.
"""

from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import comparison, rows, scaling, scatter, shading, style, wording


def draw(folder: RunFolder) -> list[Path]:
    """Write the figures that this run's rows give."""
    pictures = {"llc_loglog.png": loglog(folder), "dln_scaling.png": scaling.figure(folder)}
    return [style.save(picture, folder.path / name) for name, picture in pictures.items() if picture is not None]


@style.look
def loglog(folder: RunFolder) -> Figure | None:
    """Estimate against theory on logarithmic axes, a panel a sampler; None for a single network."""
    every = [row for row in rows.read(folder) if not row.combination]
    known = [row for row in every if not row.failed and row.known > 0]
    if len({row.point for row in known}) < 2 or not any(row.llc > 0 for row in known):
        return None
    groups = rows.by_series(known)
    picture, axes = square_panels(len(groups))
    scatter.scale(axes, known, logarithmic=True)
    norm = shading.norm(known)
    for axis, (series, group) in zip(axes, groups.items(), strict=True):
        scatter.panel(axis, group, partial(shading.paint, norm=norm))
        scatter.box(axis, group, rows.lost(every, series))
        axis.set_title(comparison.heading(series, group), fontsize=10)
    style.outer_labels(axes, r"theory $\lambda$ (Aoyagi)", r"estimate $\hat\lambda$")
    shading.bar(picture, axes, norm)
    left = wording.absent("Without a known value, not drawn", [row for row in every if not row.known > 0], every)
    notes = [wording.conditions(known), wording.flagged(every), left, wording.failures(every)]
    return style.finish(picture, "Deep linear networks: estimate against theory", notes, scatter.keys(axes))


def square_panels(count: int) -> tuple[Figure, list[Axes]]:
    """8 x 8 inches for one sampler; side by side for more."""
    if count == 1:
        picture = Figure(figsize=(8, 8), layout="compressed")
        return picture, [picture.subplots()]
    return style.grid(count, 3, 0.93, square=True)
