"""vae_latents.png: how many nats each latent costs, at the end against gamma, and along training."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from llcx.figures import style, vae_arms, vae_study, wording
from llcx.figures.vae_study import Series, Study, number

SIDE = 4  # maps side by side
LEAST = 1e-3  # nats: fewer have the colour of this
LABELS = 22  # of the columns of all maps of a line, at most
NOTHING = "#d0d0d0"  # where there is no number


class Map(NamedTuple):
    """Nats of each latent in each column."""

    title: str
    x: str
    columns: Sequence[str]
    values: np.ndarray  # [D, columns]
    predicted: float  # how many latents the data's spectrum would have active; nan where unknown


@style.look
def figure(study: Study) -> Figure | None:
    """Maps of the ends, then of up to four trainings; None where no latent has a number."""
    lines = [line for line in (at_the_end(study), along(study)) if line]
    if not lines:
        return None
    picture = Figure(figsize=(style.WIDTH, 3.3 * len(lines) + 1.3), layout="constrained")
    for part, line in zip(picture.subfigures(len(lines), 1, squeeze=False)[:, 0], lines, strict=True):
        axes = part.subplots(1, len(line), squeeze=False)[0]
        known = np.concatenate([each.values[np.isfinite(each.values)] for each in line])
        norm = LogNorm(LEAST, max(float(known.max(initial=0)), 10 * LEAST))
        for axis, each in zip(axes, line, strict=True):
            mesh = heat(axis, each, norm, LABELS // len(line))
        axes[0].set_ylabel("latent $i$")
        below = "min" if known.min(initial=LEAST) < LEAST else "neither"
        part.colorbar(mesh, ax=list(axes), label="KL of the latent [nats]", aspect=22, pad=0.01, extend=below)
    return style.finish(picture, "VAE: what each latent carries", notes(study, lines))


def at_the_end(study: Study) -> list[Map]:
    """Of each series that has several gammas; of the others one map together for each number of latents."""
    kl: dict[str, dict[int, float]] = defaultdict(dict)
    for line in study.table("dimensions"):
        kl[line["training"]][int(line["dimension"])] = number(line, "kl")
    found, single = [], defaultdict[int, list[tuple[Series, np.ndarray]]](list)
    for series in study.series if kl else []:
        lines = vae_arms.of_first_seed(study, series)
        count = int(number(lines[0], "latent_dim"))
        values = [np.array([kl[cells["training"]].get(i, np.nan) for i in range(1, count + 1)]) for cells in lines]
        if len(values) > 1:
            title = f"at the end, {series.label}" if series.label else "at the end"
            columns = [wording.number(number(cells, "gamma")) for cells in lines]
            found.append(Map(title, r"$\gamma$", columns, np.stack(values, 1), predicted(study, series)))
        else:
            single[count].append((series, values[0]))
    alone = len(study.series) == 1 and bool(study.courses)  # what stands at the right edge of its course
    for group in single.values() if not alone else []:
        columns = [series.label or "model" for series, _ in group]
        together = np.stack([values for _, values in group], 1)
        found.append(Map("at the end", "", columns, together, predicted(study, group[0][0])))
    return found[:SIDE]


def predicted(study: Study, series: Series) -> float:
    """The number of active latents that the spectrum gives, where the seeds agree in it."""
    values = {number(cells, "predicted_active") for cells in study.of(series)}
    return values.pop() if len(values) == 1 else np.nan


def along(study: Study) -> list[Map]:
    """Of trainings whose course tells the latents one by one."""
    found = []
    for cells in vae_arms.chosen(study, SIDE):
        kl = study.courses.get(f"{cells['training']}/kl", np.empty((0, 0)))
        at = study.courses.get(f"{cells['training']}/at", np.empty(0))
        if kl.ndim == 2 and len(kl) > 1:
            title = f"along training, {vae_arms.named(study, cells)}"
            steps = [wording.number(float(step)) for step in at]
            found.append(Map(title, "step", steps, kl.T, number(cells, "predicted_active")))
    return found


def heat(axis: Axes, of: Map, norm: Any, labels: int) -> Any:
    """A map, the first latent on top, columns equally wide; grey where there is no number."""
    count, across = of.values.shape
    colours = matplotlib.colormaps["magma"].with_extremes(bad=NOTHING)
    values = np.ma.masked_invalid(np.where(of.values < norm.vmin, norm.vmin, of.values))
    edges = np.arange(across + 1) - 0.5, np.arange(count + 1) + 0.5
    mesh = axis.pcolormesh(*edges, values, cmap=colours, norm=norm)
    if 0 < of.predicted < count:
        axis.axhline(of.predicted + 0.5, color="white", lw=1.1, ls=(0, (4, 3)))
    shown = range(0, across, -(-across // labels)) if of.x else range(across)
    slanted: Any = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if not of.x and across > 5 else {}
    axis.set_xticks(shown, [wording.plain(of.columns[place], 18) for place in shown], **slanted)
    axis.set_yticks([1, *(place for place in axis.get_yticks() if 1 < place <= count and place == int(place))])
    axis.set(ylim=(count + 0.5, 0.5), xlabel=of.x, title=wording.plain(of.title, 44))
    axis.grid(False)
    return mesh


def notes(study: Study, lines: Sequence[Sequence[Map]]) -> list[str]:
    """What was run, and what the maps are of."""
    several = "The first seed. " if study.seeds > 1 else ""
    white = "White line: as many latents as the spectrum of the data predicts to be active. "
    drawn = any(0 < each.predicted < len(each.values) for line in lines for each in line)
    grey = any(not np.isfinite(each.values).all() for line in lines for each in line)
    told = f"KL(q || p) of the test rows, latents in the order of their prior. {several}{white if drawn else ''}"
    return [vae_study.conditions(study), told + "Grey: no number." * grey, vae_study.stopped(study)]
