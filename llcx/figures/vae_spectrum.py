"""vae_spectrum.png: eigenvalues of the data with the law through them, of latents beside their prior, and exponents."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.figures import style, vae_arms, vae_study, wording
from llcx.figures.vae_arms import PALE
from llcx.figures.vae_study import Arrays, Cells, Study, number

ARMS = 4  # trainings with a panel
DEEP = 1e-7  # of the largest eigenvalue: what is smaller is below the panel
LAW = style.OTHERS[4]  # of the line through the data
DASHED: Any = (0, (4, 2))
DOTTED: Any = (0, (1, 1.4))
Panel = Callable[[Axes], None]


@style.look
def figure(study: Study) -> Figure | None:
    """The data, up to four trainings, and the exponent of the latents against gamma; None without spectra."""
    lines, arrays = study.table("spectra"), vae_arms.eigenvalues(study)
    data = next((line for line in lines if line["what"] == "input" and "input" in arrays), None)
    arms = [cells for cells in vae_arms.chosen(study, ARMS) if f"{cells['training']}/aggregated" in arrays]
    panels: list[Panel] = []
    if data is not None:
        panels.append(lambda axis: of_data(axis, study, data, arrays))
    panels += [lambda axis, cells=cells: of_latents(axis, study, cells, arrays) for cells in arms]  # type: ignore[misc]
    if study.swept and vae_arms.finite(study.networks, "latent_exponent").size:
        panels.append(lambda axis: exponents(axis, study, data))
    if not panels:
        return None
    picture, axes = style.grid(len(panels), 2 if len(panels) == 4 else 3, 0.56 if len(panels) == 4 else 0.78)
    for axis, panel in zip(axes, panels, strict=True):
        panel(axis)
    return style.finish(
        picture, "VAE: spectra of data and latents", notes(study, data, arms), keys(study, data, arms, panels)
    )


def of_data(axis: Axes, study: Study, line: Cells, arrays: Arrays) -> None:
    """Eigenvalues, the power law in its window, and the decoder's variance where trainings have one."""
    values = arrays["input"]
    index = np.arange(1, len(values) + 1)
    seen = values > DEEP * values[0]
    band = [arrays.get(f"resampled {end}") for end in ("low", "high")]
    if band[0] is not None and band[1] is not None:
        axis.fill_between(index[seen], band[0][seen], band[1][seen], color=style.INK, alpha=0.2, lw=0)
    axis.plot(index[seen], values[seen], color=style.INK, lw=1.5)
    if np.isfinite(number(line, "exponent")):
        fitted(axis, line, values)
        told(axis, study, line)
    for noise in noises(study):
        axis.axhline(noise, color=style.MUTED, lw=1.0, ls=DOTTED, zorder=1.5)
    axis.set(xscale="log", yscale="log", xlabel="number $i$")
    axis.set_title("eigenvalues of the training images")


def fitted(axis: Axes, line: Cells, values: np.ndarray) -> None:
    """i^-exponent over the window that it was fitted in, through the mean of the logarithms there."""
    first, last = int(number(line, "first")), int(number(line, "last"))
    inside = np.arange(first, last + 1)
    weights = np.log((inside + 0.5) / (inside - 0.5))
    exponent = number(line, "exponent")
    level = np.average(np.log(values[first - 1 : last]) + exponent * np.log(inside), weights=weights)
    axis.plot(inside, np.exp(level) * inside**-exponent, color=LAW, lw=2.2, zorder=3)


def told(axis: Axes, study: Study, line: Cells) -> None:
    """The exponent in words, beside the one that made-up data were drawn with."""
    exponent = number(line, "exponent")
    said = wording.interval(*(number(line, name) for name in ("exponent", "low", "high")))
    said = wording.three(exponent) if not np.isfinite(number(line, "low")) else said
    if study.setting("data", "source") == "powerlaw":
        said += f"\ndrawn with {wording.number(study.setting('data', 'exponent', np.nan))}"
    axis.text(0.97, 0.96, f"exponent {said}", transform=axis.transAxes, color=LAW, fontsize=9, ha="right", va="top")


def noises(study: Study) -> list[float]:
    """All different variances of the decoder."""
    return sorted(set(vae_arms.finite(study.networks, "noise").tolist()))


def of_latents(axis: Axes, study: Study, cells: Cells, arrays: Arrays) -> None:
    """Eigenvalues of the latent means and of all of z, in the decoder's units, beside the prior's variances."""
    means, aggregated, scale = (arrays.get(f"{cells['training']}/{name}") for name in ("means", "aggregated", "scale"))
    for values, colour, dashes, wide in (
        (None if scale is None else np.sort(scale**2)[::-1], PALE, "-", 5.0),
        (aggregated, style.INK, "-", 1.3),
        (means, style.CYCLE[0], DASHED, 1.4),
    ):
        if values is not None:
            index = np.arange(1, len(values) + 1)
            axis.plot(index, np.where(values > 0, values, np.nan), color=colour, ls=dashes, lw=wide)
    if aggregated is not None and scale is not None:
        greatest = max(float(aggregated.max()), float((scale**2).max()))
        least = min(float(aggregated[aggregated > 0].min(initial=greatest)), float((scale**2).min()))
        axis.set_ylim(max(0.2 * least, DEEP * greatest), 3 * greatest)
    vae_study.logarithmic(axis)
    vae_study.logarithmic(axis, "x")
    axis.set_xlabel("number $i$")
    axis.set_title(wording.plain(f"latents, {vae_arms.named(study, cells)}", 48))


def exponents(axis: Axes, study: Study, data: Cells | None) -> None:
    """Of the aggregated latents against gamma, every seed a dot; the prior's, and the data's as a level."""
    for series in study.series:
        lines = study.of(series)
        gamma, value, prior = (
            np.array([number(cells, name) for cells in lines])
            for name in ("gamma", "latent_exponent", "prior_exponent")
        )
        levels = [at for at in sorted(set(gamma.tolist())) if np.isfinite(value[gamma == at]).any()]
        axis.plot(levels, [np.nanmean(value[gamma == at]) for at in levels], color=series.colour, lw=1.4)
        known = np.isfinite(value) & np.isfinite(gamma)
        if known.any():
            style.dots(axis, list(zip(gamma[known], value[known], strict=True)), series.colour, hollow=False, s=24)
        of_prior = sorted({(x, y) for x, y in zip(gamma, prior, strict=True) if np.isfinite(x + y)})
        if of_prior:
            axis.plot(*zip(*of_prior, strict=True), color=PALE, lw=5, zorder=1.8)
    if data is not None and np.isfinite(number(data, "exponent")):
        axis.axhline(number(data, "exponent"), color=LAW, lw=1.2, ls=DASHED)
    axis.set_xlabel(r"$\gamma$")
    axis.set_title("exponent of all of $z$, averaged over images")


def keys(study: Study, data: Cells | None, arms: Sequence[Cells], panels: Sequence[Panel]) -> dict[str, Any]:
    """The legend."""
    found: dict[str, Any] = {}
    if data is not None:
        found |= {"data": style.key(line="-"), "power law of the data": style.key(line="-", color=LAW)}
        if noises(study):
            found["variance s\u00b2 of a pixel given z"] = style.key(line=":", color=style.MUTED)
    if arms:
        found |= {"prior": vae_arms.wide_key(), "z, over all images": style.key(line="-")}
        found |= {"means of q alone": style.key(line="--", color=style.CYCLE[0])}
    many = len(study.series) > 1 and len(panels) > len(arms) + (data is not None)
    return found | ({one.label: style.key("o", line="-", color=one.colour) for one in study.series} if many else {})


def notes(study: Study, data: Cells | None, arms: Sequence[Cells]) -> list[str]:
    """What was run, the numbers of the data's spectrum, and what the latents are."""
    told = ""
    if data is not None:
        window = f"{data['first']} to {data['last']}"
        ranks = ", ".join(
            f"{said} {wording.three(number(data, name))}"
            for name, said in (("effective_rank", "effective rank"), ("participation", "participation ratio"))
        )
        told = f"Data: eigenvalues of the covariance, power law through {window}, {ranks}{above(study)}. "
    what = "Latents of the first seed, in the decoder's units, sorted. " if arms else ""
    return [vae_study.conditions(study), told + what, vae_arms.left_out(study, arms) if arms else ""]


def above(study: Study) -> str:
    """How many eigenvalues exceed the decoder's variance, where there is one number of both."""
    counts = {
        (number(line, "noise"), number(line, "above")) for line in study.table("spectra") if line["what"] == "input"
    }
    noise, count = counts.pop() if len(counts) == 1 else (np.nan, np.nan)
    return f", {wording.number(count)} above s\u00b2 = {wording.three(noise)}" if np.isfinite(noise + count) else ""
