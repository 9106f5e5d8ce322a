"""Made-up trainings of task=vae: losses that fall exponentially.

With t the step and T = tau(gamma, parametrisation): the mean square error is FLOOR + FALL e^(-t/T), the KL is
KL (1 - e^(-t/T)) + (initial KL) e^(-t/5), each times 1 + 0.02 (seed - mean seed) and a little noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import sin
from typing import Any, NamedTuple

import numpy as np

FLOOR, FALL, KL, TAU = 0.03, 0.06, 2.0, 100.0
ABOUT = ("training", "seed", "variant", "kind", "gamma", "parametrisation", "latent_dim", "learning_rate")
OF_SERIES = ABOUT[2:]
KINDS = {
    "vae": "ones",
    "scalefree_clipdim": "power_clip",
    "stl_inverse": "power_clip",
    "exp": "exp",
    "linear": "linear",
}


@dataclass(frozen=True)
class Made:
    """What the folder shall hold."""

    gammas: Sequence[float] = (0.0, 0.4, 0.8)
    ways: Sequence[str] = ("raw",)  # parametrisations
    variants: Sequence[str] = ()
    seeds: int = 3
    steps: Sequence[int] = (0, 10, 30, 100, 300, 1000)  # of events
    latents: int = 8
    latent_dims: Sequence[int] = ()
    lost: Sequence[tuple[str, float, int]] = ()  # parametrisation, gamma and seed of losses that are not finite
    importance: bool = True
    pictures: bool = True
    measured: bool = False  # with an LLC at the start, in the middle and at the end

    @cached_property
    def arms(self) -> "list[Arm]":
        """In the order of a study: seed after seed."""
        axes = {"gamma": self.gammas, "variant": self.variants, "parametrisation": self.ways}
        axes |= {"latent_dim": self.latent_dims}
        swept = {name: list(values) for name, values in axes.items() if len(values) > (name != "variant")}
        found = []
        for seed in range(self.seeds):
            for values in product(*swept.values()):
                coords = dict(zip(swept, values, strict=True)) | ({"seed": seed} if self.seeds > 1 else {})
                found.append(Arm(self, ",".join(["vae", *(f"{k}={v}" for k, v in coords.items())]), seed, coords))
        return found


class Arm(NamedTuple):
    """One training."""

    made: Made
    name: str
    seed: int
    coords: Mapping[str, Any]

    @property
    def law(self) -> float:
        """The gamma of the prior; a half where it has none."""
        gamma = self.about["gamma"]
        return 0.5 if gamma is None else float(gamma)

    def setting(self, name: str) -> Any:
        first = {"gamma": self.made.gammas[0], "parametrisation": self.made.ways[0], "latent_dim": self.made.latents}
        return self.coords.get(name, first.get(name))

    @property
    def about(self) -> dict[str, Any]:
        variant = self.coords.get("variant", "")
        kind = KINDS.get(variant, "power")
        gamma = 0.0 if kind == "ones" else self.setting("gamma") if kind.startswith("power") else None
        way, latents = self.setting("parametrisation"), self.setting("latent_dim")
        return dict(zip(ABOUT, (self.name, self.seed, variant, kind, gamma, way, latents, 1e-3), strict=True))

    @property
    def lost(self) -> bool:
        return (self.about["parametrisation"], self.about["gamma"], self.seed) in self.made.lost

    @property
    def steps(self) -> np.ndarray:
        """Of events; those of a lost training end early."""
        return np.array(self.made.steps[: 3 if self.lost else None])

    @property
    def tau(self) -> float:
        return TAU * (1 + self.law**2) if self.raw else TAU / (1 + self.law)

    @property
    def raw(self) -> bool:
        return self.setting("parametrisation") == "raw"

    def value(self, name: str, step: Any) -> np.ndarray:
        """A metric of the course at steps."""
        step, latents = np.asarray(step, float), self.about["latent_dim"]
        gone = 1 - np.exp(-step / self.tau)
        own = 1 + 0.02 * (self.seed - (self.made.seeds - 1) / 2) + 0.004 * sin(7 * self.seed + 13 * self.tau)
        start = 0.01 * latents ** (1 + 2 * self.law * self.raw)
        mse, kl = own * (FLOOR + FALL * (1 - gone)), own * (KL * gone + start * np.exp(-step / 5))
        told = {"mse": mse, "kl": kl, "loss": mse + 0.1 * kl / latents, "nats": 500 * mse + kl}
        return told[name] if name in told else np.round(latents / 2 * gone)
