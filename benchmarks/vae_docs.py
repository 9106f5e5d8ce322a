"""The two pictures of docs/vae.md that no run draws: the spectrum of Fashion-MNIST beside priors, and the model.

    OMP_NUM_THREADS=1 python -m benchmarks.vae_docs --out docs/figures

Eigenvalues are those of all 60,000 training images, scales those of `llcx.tasks.vae.priors`; images in the drawing of
the model are the first test images, and what a VAE of 16 latents under d_i = i^-0.5 makes of them after `--steps`. Half
a minute.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from llcx import rng
from llcx.figures import style
from llcx.tasks.vae import images, measures, model, priors, schema, spectra
from llcx.tasks.vae.networks import Shape
from llcx.tasks.vae.objective import Criterion

LATENTS = 256
GAMMA = 0.5  # of the model that is drawn
SHOWN = 16  # its latents
NOISES = (16, 64, 256)  # latents for which the variance that kl_coeff = 0.1 implies is drawn
CHOICES: Mapping[str, Sequence[float]] = {  # variant -> gammas
    "vae": [0.0],
    "scalefree": [0.25, 0.5, 1.0],
    "scalefree_clamp": [1.5],
    "scalefree_clipdim": [1.0],
    "exp": [0.0],
    "linear": [0.0],
    "stl_inverse": [0.5],
}
TONES = {
    "vae": ["#8a8f98"],
    "scalefree": ["#08306b", "#2171b5", "#6baed6"],
    "scalefree_clamp": ["#D55E00"],
    "scalefree_clipdim": ["#CC79A7"],
    "exp": ["#E69F00"],
    "linear": ["#7A5195"],
    "stl_inverse": ["#8C564B"],
}
HEAD, BLUE, ORANGE = "#EAF1F8", "#0072B2", "#D55E00"


class Seen(NamedTuple):
    """What a trained model makes of an image, and of the prior."""

    x: np.ndarray  # [h, w]
    reconstruction: np.ndarray  # [h, w]
    samples: list[np.ndarray]
    scale: np.ndarray  # [D]


@style.look
def spectra_beside_priors() -> Figure:
    train = images.draw(schema.Images(source="fashion_mnist"), rng.streams(0)).train
    values = spectra.eigenvalues(train)
    picture, (data, prior) = style.grid(2, 2, 0.72)
    legend = of_data(data, values, len(train))
    legend |= of_priors(prior, values)
    notes = [
        "Left: the variance s\u00b2 of a pixel that kl_coeff = 0.1 implies, kl_coeff pixels / (2 D). The best linear "
        "VAE uses as many latents as there are eigenvalues above it.",
        f"Right: {LATENTS} latents; exp and linear at their default rates. Where the posterior is scaled alike, a "
        "prior moves no optimum and no line on the left: it changes the latents' units.",
    ]
    return style.finish(picture, "Spectrum of Fashion-MNIST beside the priors", notes, legend)


def of_data(axis: Axes, values: Tensor, rows: int) -> dict[str, Any]:
    """Eigenvalues, the line through their bulk, and the noise that they stand against."""
    window = spectra.bulk(values)
    line = spectra.power_law(values, window)
    index = np.arange(1, len(values) + 1)
    axis.plot(index, values, color=style.INK, lw=1.6)
    inside = index[window.first - 1 : window.last]
    slope, level = float(line.exponent), float(line.intercept)
    axis.plot(inside, np.exp(level) * inside**-slope, color=style.KNOWN, lw=2.2)
    axis.text(
        60, 0.35 * np.exp(level) * 60**-slope, f"$i^{{-{slope:.2f}}}$", color=style.KNOWN, fontsize=11, ha="right"
    )
    for latents in NOISES:
        noise = measures.implied_noise(0.1, 784, latents)
        count = int(spectra.above(values, noise))
        axis.axhline(noise, color=style.MUTED, lw=0.9, ls=(0, (4, 3)))
        axis.text(
            780, 1.12 * noise, f"$s^2$ of D = {latents}: {count} above", ha="right", fontsize=8, color=style.MUTED
        )
    axis.set(xscale="log", yscale="log", ylim=(1e-4, 2 * float(values[0])), xlabel="number $i$")
    axis.set_title(rf"eigenvalues $\lambda_i$ of the covariance of {rows:,} images")
    return {
        r"$\lambda_i$ of the data": style.key(line="-"),
        f"power law through i = {window.first} to {window.last}": style.key(line="-", color=style.KNOWN),
    }


def of_priors(axis: Axes, values: Tensor) -> dict[str, Any]:
    """d_i^2 of each variant, and the data's own eigenvalues, which data_pca takes."""
    index = np.arange(1, LATENTS + 1)
    axis.plot(index, values[:LATENTS], color=style.INK, lw=1.6, zorder=3)
    legend: dict[str, Any] = {}
    for variant, gammas in CHOICES.items():
        for gamma, colour in zip(gammas, TONES[variant], strict=True):
            of = schema.applied(schema.VAE(variant=variant, prior=schema.Prior(gamma=gamma)))
            named = f"{variant}, \u03b3 = {gamma:g}" if gamma else variant
            dashes: Any = "-" if variant in ("vae", "scalefree") else (0, (5, 2))
            axis.plot(index, priors.scale(of.prior, LATENTS).square(), color=colour, lw=1.5, ls=dashes)
            legend[named] = style.key(line="-" if dashes == "-" else "--", color=colour)
    axis.set(xscale="log", yscale="log", xlabel="latent $i$", ylim=(3e-7, 1e3))
    axis.set_title(r"variances $d_i^2$ of the priors (black: of data_pca)")
    return legend


def trained(steps: int) -> tuple[Seen, Seen]:
    """What a VAE of Fashion-MNIST sees, and what the standard VAE sees that it is; trained by a loop of its own."""
    cfg = schema.VAE(
        model=schema.Model(latent_dim=SHOWN),
        prior=schema.Prior(gamma=GAMMA),
        loss=schema.Loss(kl_coeff=0.01),
        data=schema.Images(source="fashion_mnist"),
    )
    streams = rng.streams(0)
    found = images.draw(cfg.data, streams)
    shape = Shape(*found.train.shape[1:])
    vae = model.build(cfg.model, shape, priors.scale(cfg.prior, SHOWN), streams.generator("init"))
    criterion, optimizer = Criterion(cfg.model, cfg.loss, shape, vae.scale), torch.optim.Adam(vae.parameters(), lr=1e-3)
    source = streams.generator("fit")
    for _ in range(steps):
        x = found.train[torch.randint(len(found.train), (64,), generator=source)]
        optimizer.zero_grad()
        criterion(vae(x, torch.randn(64, SHOWN, generator=source)), x).backward()
        optimizer.step()
    normals = torch.randn(3, SHOWN, generator=source)
    first, second = (seen(each, found.test[4:5], normals) for each in (vae, model.standardised(vae)))
    return first, second


@torch.no_grad()
def seen(vae: model.VAE, x: Tensor, normals: Tensor) -> Seen:
    """The reconstruction from the mean of q, and samples from those of a standard normal."""
    output, drawn = vae.decode(vae.encode(x)[0]), vae.decode_whitened(normals)
    return Seen(x[0, 0].numpy(), output[0, 0].numpy(), [each.numpy() for each in drawn[:, 0]], vae.scale.numpy())


@style.look
def schematic(scaled: Seen, standard: Seen, steps: int) -> Figure:
    """The model as it is trained, and the standard VAE that is the same function."""
    picture = Figure(figsize=(style.WIDTH, 5.75))
    axis = picture.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, style.WIDTH), ylim=(-0.15, 5.6))
    axis.set_axis_off()
    upper = Words(r"$W_\mu$", r"$\mu$", r"$z = \mu + s\,d\,\varepsilon$", r"prior $p = \mathcal{N}(0, d^2)$", "$W$")
    lower = Words(r"$d^{-1}W_\mu$", "$m$", r"$u = m + s\,\varepsilon$", r"prior $p = \mathcal{N}(0, I)$", "$W d$")
    heading(axis, 5.45, "A VAE with a scaled prior", "as it is trained, parametrisation raw")
    lane(axis, 4.15, scaled, upper)
    heading(axis, 2.75, "The same function as a standard VAE", "two affine layers rescaled: equal loss, KL and images")
    lane(axis, 1.45, standard, lower)
    apart = max(float(np.abs(a - b).max()) for a, b in zip(images_of(scaled), images_of(standard), strict=True))
    told = (
        f"Fashion-MNIST, {SHOWN} latents, d_i = i^-{GAMMA} (bars), {steps} steps. Both lanes are computed; their "
        f"images differ by at most {apart:.0e}."
    )
    axis.text(style.MARGIN, -0.02, told, parse_math=False, **style.NOTE)
    return picture


def images_of(found: Seen) -> list[np.ndarray]:
    return [found.reconstruction, *found.samples]


class Words(NamedTuple):
    """What stands in the boxes of one lane."""

    mean: str
    code: str
    noise: str
    prior: str
    first: str


def heading(axis: Axes, y: float, title: str, more: str) -> None:
    axis.text(0.12, y, title, fontsize=12, fontweight="bold", va="top")
    axis.text(0.12, y - 0.24, more, fontsize=9, color=style.MUTED, va="top")


def lane(axis: Axes, y: float, found: Seen, words: Words) -> None:
    """Image, encoder, heads, latents with the bars of their prior, decoder, image; samples of the prior at the end."""
    tile(axis, found.x, 0.64, y)
    axis.text(0.64, y - 0.66, "image $x$", ha="center", fontsize=9)
    arrow(axis, (1.16, y), (1.44, y))
    box(axis, 1.92, y, 0.96, 1.0, "encoder")
    for shift, text, out in ((0.34, words.mean, words.code), (-0.34, "$W_s$", "$s$")):
        arrow(axis, (2.4, y + shift), (2.68, y + shift))
        box(axis, 3.06, y + shift, 0.76, 0.46, text, BLUE if shift > 0 else style.MUTED)
        arrow(axis, (3.44, y + shift), (4.12, y + 0.4 * shift))
        axis.text(3.76, y + shift + (0.12 if shift > 0 else -0.14), out, ha="center", va="center", fontsize=10)
    latents(axis, (5.13, y), words, found.scale)
    arrow(axis, (6.13, y), (6.42, y))
    box(axis, 6.73, y, 0.62, 0.6, words.first, BLUE)
    arrow(axis, (7.04, y), (7.28, y))
    box(axis, 7.76, y, 0.96, 1.0, "decoder")
    arrow(axis, (8.24, y), (8.54, y))
    tile(axis, found.reconstruction, 9.06, y)
    axis.text(9.06, y - 0.66, "reconstruction", ha="center", fontsize=9)
    for place, sample in enumerate(found.samples):
        tile(axis, sample, 10.25, y + 0.62 * (1 - place), 0.58)
    axis.text(10.25, y - 1.06, "samples of the prior", ha="center", fontsize=9)


def latents(axis: Axes, centre: tuple[float, float], words: Words, scale: np.ndarray) -> None:
    """What z is, and the standard deviation of each latent under the prior."""
    x, y = centre
    box(axis, x, y, 2.0, 1.62, "")
    axis.text(x, y + 0.55, words.noise, ha="center", va="center", fontsize=11)
    left = x - 0.8 + 1.6 * (np.arange(len(scale)) + 0.5) / len(scale)
    axis.bar(left, 0.62 * scale, width=0.075, bottom=y - 0.42, color=ORANGE)
    axis.text(x, y - 0.6, words.prior, ha="center", va="center", fontsize=9, color=ORANGE)


def box(axis: Axes, x: float, y: float, wide: float, high: float, text: str, colour: str = style.MUTED) -> None:
    shape = FancyBboxPatch(
        (x - wide / 2, y - high / 2), wide, high, boxstyle="round,pad=0,rounding_size=0.07", fc=HEAD, ec=colour, lw=1.1
    )
    axis.add_patch(shape)
    axis.text(x, y, text, ha="center", va="center", fontsize=10, color=style.INK)


def arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": style.MUTED, "lw": 1.2, "shrinkA": 0})


def tile(axis: Axes, image: np.ndarray, x: float, y: float, side: float = 1.0) -> None:
    extent = (x - side / 2, x + side / 2, y - side / 2, y + side / 2)
    axis.imshow(image, cmap="gray_r", vmin=0, vmax=1, extent=extent, aspect="auto", interpolation="nearest")
    axis.add_patch(plt.Rectangle(extent[::2], side, side, fill=False, ec=style.RULE, lw=0.8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    parser.add_argument("--steps", type=int, default=3000)
    asked = parser.parse_args()
    style.save(spectra_beside_priors(), asked.out / "vae_priors.png")
    style.save(schematic(*trained(asked.steps), asked.steps), asked.out / "vae_schema.png")


if __name__ == "__main__":
    main()
