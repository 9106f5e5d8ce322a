"""vae_active.png: how many latents are used, against what the spectrum of the data predicts of the best linear VAE."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import over_seeds, style, vae_arms, vae_study, wording
from llcx.figures.vae_arms import ACTIVE, PALE
from llcx.figures.vae_study import Cells, Series, Study, number

ARMS = 6  # trainings with a line
COURSES = 2  # series with a panel along training
FEWEST = 3  # different predictions that make an axis
FEW = 20  # latents with a marker each
FLOOR = 1e-6  # what latents carry, at the lower edge
Panel = Callable[[Axes], None]


@style.look
def figure(study: Study) -> Figure | None:
    """None where no training counts its active latents, or none of them is predicted."""
    known = [cells for cells in study.networks if np.isfinite(number(cells, "active"))]
    known = [cells for cells in known if np.isfinite(number(cells, "predicted_active"))]
    if not known:
        return None
    panels: list[Panel] = [lambda axis: at_the_end(axis, study)]
    if len({number(cells, "predicted_active") for cells in known}) >= FEWEST:
        panels.append(lambda axis: diagonal(axis, study))
    if arms := carriers(study):
        panels.append(lambda axis: carried(axis, study, arms))
    courses = [series for series in study.series if any(len(course(study, cells)[0]) for cells in study.of(series))]
    groups = [[series] for series in courses[:COURSES]] if study.swept else [courses] * bool(courses)
    panels += [lambda axis, group=group: along(axis, study, group) for group in groups]  # type: ignore[misc]
    picture, axes = style.grid(len(panels), 3 if len(panels) != 4 else 2, 0.78 if len(panels) != 4 else 0.56)
    for axis, panel in zip(axes, panels, strict=True):
        panel(axis)
    return style.finish(picture, "VAE: active latents", notes(study, courses), keys(study, bool(arms or courses)))


def at_the_end(axis: Axes, study: Study) -> None:
    """Every training a dot, against gamma or series by series; the prediction as a line."""
    if study.swept:
        for place, series in enumerate(study.series):
            lines = [cells for cells in study.of(series) if np.isfinite(number(cells, "gamma"))]
            gamma = np.array([number(cells, "gamma") for cells in lines])
            values(axis, lines, gamma + shift(study, place), series.colour)
            bounds = (float(gamma.min()), float(gamma.max())) if lines else (0.0, 1.0)
            prediction(axis, lines, bounds)
        axis.set_xlabel(r"$\gamma$")
    else:
        for place, series in enumerate(study.series):
            lines = study.of(series)
            values(axis, lines, np.full(len(lines), place), series.colour)
            prediction(axis, lines, (place - 0.35, place + 0.35))
        labels = [wording.plain(series.label or "model", 24) for series in study.series]
        slanted: Any = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(labels) > 4 else {}
        axis.set_xticks(range(len(labels)), labels, **slanted)
        axis.set_xlim(-0.6, len(labels) - 0.4)
    axis.set_ylim(0, 1.08 * max(axis.get_ylim()[1], 1.0))
    axis.set_title("active latents at the end")


def shift(study: Study, place: int) -> float:
    """Series stand a little apart, since their counts are whole numbers."""
    gaps = np.diff(study.gammas)
    return 0.09 * float(gaps.min() if gaps.size else 1.0) * (place - (len(study.series) - 1) / 2)


def values(axis: Axes, lines: Sequence[Cells], x: np.ndarray, colour: str) -> None:
    """Dots of all seeds, and a line through their means."""
    y = np.array([number(cells, "active") for cells in lines])
    known = np.isfinite(y)
    if not known.any():
        return
    places = sorted(set(x[known].tolist()))
    axis.plot(places, [y[known & (x == place)].mean() for place in places], color=colour, lw=1.3)
    style.dots(axis, list(zip(x[known].tolist(), y[known].tolist(), strict=True)), colour, hollow=False, s=26)


def prediction(axis: Axes, lines: Sequence[Cells], ends: tuple[float, float]) -> None:
    for value in sorted({number(cells, "predicted_active") for cells in lines}):
        if np.isfinite(value):
            axis.plot(ends, (value, value), color=PALE, lw=5, zorder=1.8)


def diagonal(axis: Axes, study: Study) -> None:
    """Measured against predicted."""
    most = 1.0
    for series in study.series:
        pairs = [(number(cells, "predicted_active"), number(cells, "active")) for cells in study.of(series)]
        pairs = [pair for pair in pairs if np.isfinite(sum(pair))]
        if pairs:
            style.dots(axis, pairs, series.colour, hollow=False, s=26)
            most = max(most, *(max(pair) for pair in pairs))
    axis.axline((0, 0), slope=1, color=PALE, lw=5, zorder=1.8)
    axis.set(xlim=(-0.03 * most, 1.06 * most), ylim=(-0.03 * most, 1.06 * most), xlabel="predicted")
    axis.set_title("active latents, measured against predicted")


def carriers(study: Study) -> list[tuple[Cells, np.ndarray]]:
    """Trainings drawn one by one, with what each latent carries, the most first."""
    lines = study.table("dimensions")
    found = []
    for cells in vae_arms.chosen(study, ARMS):
        own = [number(line, "carried") for line in lines if line["training"] == cells["training"]]
        if np.isfinite(own).any():
            found.append((cells, np.sort(np.array(own)[np.isfinite(own)])[::-1]))
    return found


def carried(axis: Axes, study: Study, arms: Sequence[tuple[Cells, np.ndarray]]) -> None:
    """Variance over images of each latent's mean, and 1 - s^2 / lambda_i of the best linear VAE."""
    for cells, own in arms:
        look: Any = {
            "ls": "--" if study.swept and not study.series[0].has(cells) else "-",
            "marker": "o" if len(own) <= FEW else "",
        }
        axis.plot(
            range(1, len(own) + 1), np.maximum(own, FLOOR), color=vae_arms.colour(study, cells), lw=1.4, ms=3, **look
        )
    spectrum = vae_arms.eigenvalues(study).get("input")
    noise = {number(cells, "noise") for cells, _ in arms}
    if spectrum is not None and channels(study) == 1 and len(noise) == 1:
        best = 1 - noise.pop() / spectrum[: max(len(own) for _, own in arms)]
        best = best[best > 0]
        axis.plot(range(1, len(best) + 1), best, color=PALE, lw=5, zorder=1.8)
    axis.axhline(ACTIVE, color=style.MUTED, lw=1.0, ls=(0, (1, 1.4)))
    least = max(min(float(own.min()) for _, own in arms), FLOOR)
    axis.set(yscale="log", xlabel="latent, sorted", ylim=(0.5 * min(least, ACTIVE), None))
    axis.set_title("variance over images of each latent's mean")


def channels(study: Study) -> int:
    """Of the images; the spectrum is that of grey ones."""
    source = study.setting("data", "source", "")
    if source == "cifar10":
        return 3
    return int(study.setting("data", "channels", 1)) if source in ("patches", "powerlaw") else 1


def course(study: Study, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    return study.curve(cells["training"], "test/active")


def along(axis: Axes, study: Study, group: Sequence[Series]) -> None:
    """Mean over seeds against the step, a line for each gamma of each series."""
    lines = [cells for series in group for cells in study.of(series)]
    steps = [np.empty(0)]
    for kind in dict.fromkeys((vae_study.key_of(cells), cells.get("gamma", "")) for cells in lines):
        same = [cells for cells in lines if (vae_study.key_of(cells), cells.get("gamma", "")) == kind]
        at, found = over_seeds.pooled([course(study, cells) for cells in same])
        if len(at):
            axis.plot(at, np.nanmean(found, 0), color=vae_arms.colour(study, same[0]), lw=1.4)
            steps.append(at)
    vae_study.stepwise(axis, np.concatenate(steps))
    prediction(axis, lines, axis.get_xlim())
    axis.set_ylim(bottom=0)
    label = group[0].label if len(group) == 1 else ""
    axis.set_title(wording.plain(", ".join(filter(None, ["active latents along training", label])), 48))


def keys(study: Study, single: bool) -> dict[str, Any]:
    """The legend: series, gammas where they have lines of their own, the prediction."""
    found: dict[str, Any] = {"predicted from the data's spectrum": vae_arms.wide_key()}
    if len(study.series) > 1:
        found |= {one.label: style.key("o", line="-", color=one.colour) for one in study.series}
    if study.swept and single:
        shown = vae_arms.spread(study.gammas, vae_study.NAMED)
        found |= {f"\u03b3 = {wording.number(each)}": style.key(line="-", color=study.shades[each]) for each in shown}
    return found


def notes(study: Study, courses: Sequence[Series]) -> list[str]:
    """What was run, what active means, and what is predicted."""
    noise = vae_arms.finite(study.networks, "noise").tolist()
    told = f"Active: a latent whose mean varies over images by more than {ACTIVE:g}, in units of the prior (dotted). "
    told += "Predicted: of the best linear VAE, eigenvalues of the data above the variance of a pixel given z"
    told += f", s\u00b2 = {wording.span(noise)}. " if noise else ". "
    others = [series.label for series in study.series[1:]]
    dashes = f"Dashed: {wording.listing(others, 3)}. " if study.swept and others else ""
    more = "Along training: means over seeds. " if study.seeds > 1 and courses else ""
    hidden = len(study.series) - COURSES if study.swept else 0
    more += f"{hidden} more series are not drawn along training." if hidden > 0 and courses else ""
    return [vae_study.conditions(study), told + dashes + more, vae_study.stopped(study)]
