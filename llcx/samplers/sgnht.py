"""Stochastic gradient Nose-Hoover thermostat: SGHMC whose friction finds the temperature by itself.

    u = p + t grad log p(w; batch),  w+ = w + t u / 2                       t = sqrt(eps / 2)
    p+ = O(u, x);   x' = x + b (|p+|^2 / P - 1);   p' = O(p+, x');   w' = w+ + t p' / 2
    O(p, x) = exp(-x/2) p + sqrt(a (1 - exp(-x)) / x) xi,    xi ~ N(0, I)

A chain's friction x starts at a, the strength of the noise injected, and rises until the momentum, measured in the
middle of the step, has temperature 1: what minibatch noise heats, friction cools. Targets p up to O(eps^2) where that
noise is alike in all directions. For P large, with x at rest and c = exp(-x), Gaussian directions of precision h_i and
gradient variance s_i^2 have

    h_i Var w_i = a/x + e_i (1 + c)^2 / 4,    mean_i (a/x + c e_i) = 1
    e_i = eps s_i^2 / (2 (1 - c^2) (1 - eps h_i / 8))

which is 1 at any stable step without noise, and 1 + tanh(x/2) (eps s^2 / 8) / (1 - eps h / 8) where all directions are
alike. Noise that differs between them is balanced in the mean alone: the noisy ones stay hot, the others turn cold. Few
parameters leave a bias of O(a^2 / P). b = a^2 / 2 damps the thermostat critically.

Ding et al. (2014), "Bayesian sampling using stochastic gradient thermostats", NeurIPS; the symmetric splitting BADODAB
of Leimkuhler and Shang (2016), SIAM J. Sci. Comput. 38:A712.
"""

from dataclasses import dataclass
from math import exp
from typing import Any, ClassVar, NamedTuple

import torch

from llcx.registry import SAMPLERS
from llcx.samplers.minibatch import Minibatch
from llcx.samplers.steps import Factors, within
from llcx.types import Chains, Index, Kernel, Noise, PerChain, Target


@dataclass(frozen=True)
class SGNHT(Minibatch):
    """Settings of SGNHT. Biases: O(eps^2) discretisation, and minibatch noise as far as it differs between weights."""

    step_size: Any = "auto"  # eps, a squared time; auto: calibrated
    friction: float = 0.1  # a: noise injected a step; the friction itself without minibatch noise
    name: str = "sgnht"

    needs: ClassVar[tuple[str, ...]] = ("gradient",)
    unbiased: ClassVar[bool] = False
    watched: ClassVar[tuple[str, ...]] = ("friction",)
    bound: ClassVar[float] = 0.05  # far below what is stable: chains come to places a hundred times as stiff as w*

    def __post_init__(self) -> None:
        super().__post_init__()
        within("friction", self.friction, 0, 2)

    def inflation(self, step_size: float, stiff: float, noise: float) -> Factors:
        """Where the stiffest direction alone is noisy, which the thermostat cannot see: the friction stays a."""
        left, c = 1 - step_size * stiff / 8, exp(-self.friction)
        if left <= 0:
            return float("inf"), float("inf")
        return 1.0, 1 + (1 + c) / (1 - c) * step_size * noise / 8 / left


class SGNHTState(NamedTuple):
    w: Chains
    momentum: Chains  # p
    friction: PerChain  # x
    grad: Chains | None = None
    drift: Chains | None = None
    noise: Chains | None = None


@SAMPLERS.register("sgnht", SGNHT)
def build(cfg: SGNHT, target: Target) -> Kernel:
    """Bind the settings (step size a number by now) and the target."""
    t, a = (float(cfg.step_size) / 2) ** 0.5, cfg.friction

    def init(w: Chains, noise: Noise) -> SGNHTState:
        return SGNHTState(w, noise.normal(w), torch.full((len(w),), a, dtype=torch.float64, device=w.device))

    def rubbed(friction: PerChain, momentum: Chains, noise: Noise) -> tuple[Chains, Chains]:
        """Half a step of friction and noise, and the noise alone."""
        keep, heat = (-friction / 2).exp(), a * -torch.expm1(-friction) / friction
        xi = heat.sqrt().to(momentum).unsqueeze(1) * noise.normal(momentum)
        return keep.to(momentum).unsqueeze(1) * momentum + xi, xi

    def step(state: SGNHTState, batch: Index | None, noise: Noise) -> SGNHTState:
        _, grad = target(state.w, batch)
        kicked = state.momentum + t * grad
        middle, first = rubbed(state.friction, kicked, noise)
        friction = state.friction + 0.5 * a**2 * (middle.double().square().mean(1) - 1)
        momentum, second = rubbed(friction, middle, noise)
        w = state.w + 0.5 * t * (kicked + momentum)
        return SGNHTState(w, momentum, friction, grad, t**2 * grad, 0.5 * t * (first + second))

    return Kernel(init, step)
