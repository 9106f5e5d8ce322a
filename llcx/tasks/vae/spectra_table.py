"""Spectra of the images and of latents, as rows of one table: the power law through each, and how many numbers it is.

The exponent is that of the eigenvalues first..last, None where fewer than two of these are positive. Latents are in the
decoder's units, all of their eigenvalues. Where nothing is learned, z has the prior's spectrum; but so it has wherever
q, averaged over rows, is the prior, as at the optimum of a linear VAE. The means alone tell the two apart.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from llcx.tasks.vae import spectra
from llcx.tasks.vae.comparisons import Row
from llcx.tasks.vae.measures import Latents
from llcx.tasks.vae.schema import Measures
from llcx.tasks.vae.spectra import Window
from llcx.types import Streams

MOST = 20000  # images of a spectrum
LEVELS = {"low": 0.025, "high": 0.975}

Pixels = Float[Tensor, "n c h w"]


@dataclass(frozen=True)
class Inputs:
    """Of training images, at most MOST of them, drawn at random."""

    images: Pixels
    settings: Measures
    streams: Streams

    @cached_property
    def rows(self) -> Pixels:
        generator = self.streams.generator("spectra/rows")
        chosen = torch.randperm(len(self.images), generator=generator)[:MOST].sort().values
        return self.images[chosen]

    @cached_property
    def grey(self) -> Float[Tensor, " K"]:
        """Eigenvalues of the grey images."""
        return spectra.eigenvalues(spectra.flat(self.rows, grey=True))

    @cached_property
    def whole(self) -> Float[Tensor, " K"]:
        """Eigenvalues with all channels counted: those that a decoder's variance is compared with."""
        return self.grey if self.rows.shape[1] == 1 else spectra.eigenvalues(self.rows)

    @cached_property
    def resampled(self) -> Float[Tensor, "R K"]:
        """Of bootstrap resamples of the grey images."""
        generator = self.streams.generator("spectra/resamples")
        grey = spectra.flat(self.rows, grey=True)
        return spectra.resampled(grey, generator, resamples=self.settings.resamples)

    def row(self, noise: float | None) -> Row:
        """Its line in the table; the interval is the bootstrap's, None where a resample has fewer eigenvalues."""
        window = self._window()
        found = fitted(self.grey, window)
        found |= {**dict.fromkeys(LEVELS), **shape(self.grey)}
        found |= {"above": None if noise is None else int(spectra.above(self.grey, noise)), "noise": noise}
        if found["exponent"] is not None and found["last"] <= int((self.resampled > 0).sum(1).min()):
            again = spectra.power_law(self.resampled, Window(found["first"], found["last"])).exponent
            interval = spectra.interval(found["exponent"], again)
            found |= {"low": interval.low, "high": interval.high}
        return {"what": "input", "training": "", "gamma": "", **found}

    def arrays(self) -> dict[str, Tensor]:
        """The eigenvalues, and the 2.5 % and the 97.5 % quantile of each over resamples."""
        levels = {f"resampled {name}": self.resampled.quantile(level, 0) for name, level in LEVELS.items()}
        return {"input": self.grey, **levels}

    def _window(self) -> Window:
        """The one asked for, or the bulk, or, of very few eigenvalues, all."""
        if self.settings.window is not None:
            return Window(*self.settings.window)
        try:
            return spectra.bulk(self.grey)
        except ValueError:
            return Window(1, max(2, len(self.grey)))


def latent_rows(about: Row, found: Latents) -> list[Row]:
    """The lines of one VAE: its means, and z averaged over rows."""
    rows = []
    for what, values in found._asdict().items():
        law = fitted(values, Window(1, max(2, len(values)))) | dict.fromkeys(LEVELS)
        whose = {"what": what, "training": about["training"], "gamma": about["gamma"]}
        rows.append({**whose, **law, **shape(values), "above": None, "noise": None})
    return rows


def exponent(values: Float[Tensor, " K"]) -> float | None:
    """Of all positive eigenvalues."""
    found: float | None = fitted(values, Window(1, max(2, len(values))))["exponent"]
    return found


def fitted(values: Float[Tensor, " K"], window: Window) -> Row:
    """first, last, exponent; the window ends where eigenvalues are no longer positive."""
    last = min(window.last, int((values > 0).sum()))
    if window.first >= last:
        return {"first": window.first, "last": window.last, "exponent": None}
    law = spectra.power_law(values, Window(window.first, last))
    return {"first": window.first, "last": last, "exponent": float(law.exponent) + 0.0}  # no -0


def shape(values: Float[Tensor, " K"]) -> dict[str, float | None]:
    """How many numbers a spectrum amounts to; None for one without variance."""
    if not values.sum() > 0:
        return {"effective_rank": None, "participation": None}
    rank, ratio = spectra.effective_rank(values), spectra.participation_ratio(values)
    return {"effective_rank": float(rank), "participation": float(ratio)}
