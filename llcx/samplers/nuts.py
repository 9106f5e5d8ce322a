"""The No-U-Turn sampler of pyro-ppl: a reference for small models that shares no code with the kernels here.

HMC whose trajectory doubles until it turns back, with a diagonal metric and a step size adapted during the warm-up.
Targets p exactly. Chains run in turn and on the CPU, thousands of Python calls a draw: for hundreds of parameters.

Hoffman and Gelman (2014), JMLR 15:1593; multinomial draws from the trajectory as in Betancourt (2017),
arXiv:1701.02434; Bingham et al. (2019), "Pyro", JMLR 20:28.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from llcx.registry import SAMPLERS
from llcx.samplers.steps import check_step_size, within
from llcx.types import External, ExternalChain, Flat, Target


@dataclass(frozen=True)
class NUTS:
    """Settings of NUTS."""

    step_size: Any = "auto"  # leapfrog step; auto: calibrated, then adapted during the warm-up; a number stays fixed
    depth: int = 8  # doublings of a trajectory at most
    accept: float = 0.8  # acceptance that the adaptation aims at
    adapt: int | None = None  # above 0: step and metric adapt along the warm-up; null: where step_size is auto
    name: str = "nuts"

    needs: ClassVar[tuple[str, ...]] = ("gradient", "full_data", "external")
    unbiased: ClassVar[bool] = True
    watched: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        within("accept", self.accept, 0, 1)
        if self.depth < 1:
            raise ValueError(f"sampler.depth must be >= 1, got {self.depth}")

    def first_step(self, stiff: float, noise: float) -> float:
        """A careful start of the adaptation, as HMC's."""
        del noise
        return 0.08 / stiff**0.5


class _Potential(torch.autograd.Function):
    """-log p of one chain, whose gradient comes from the target instead of autograd."""

    @staticmethod
    def forward(ctx: Any, w: Flat, target: Target, place: Tensor) -> Tensor:
        with torch.enable_grad():  # a closed form differentiates itself
            logp, grad = target(w.detach().to(place).unsqueeze(0), None)
        ctx.save_for_backward(-grad[0].to(w))
        return -logp[0].to(w)

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        return scale * grad, None, None


@SAMPLERS.register("nuts", NUTS)
def build(cfg: NUTS, target: Target) -> External:
    """Bind the settings (step size and adaptation are numbers by now) and the target."""
    adapting = bool(cfg.adapt)

    def run(start: Flat, warmup: int, draws: int, generator: Generator) -> ExternalChain:
        from pyro.infer.mcmc.nuts import NUTS as Pyro  # takes seconds to import

        kernel = Pyro(
            potential_fn=lambda z: _Potential.apply(z["w"], target, start),
            step_size=float(cfg.step_size),
            adapt_step_size=adapting,
            adapt_mass_matrix=adapting,
            target_accept_prob=cfg.accept,
            max_tree_depth=cfg.depth,
        )
        with torch.random.fork_rng(devices=[]):  # pyro draws from torch's global generator
            torch.random.set_rng_state(generator.get_state())
            w = _walk(kernel, {"w": start.detach().cpu().clone()}, warmup, draws)
            generator.set_state(torch.random.get_rng_state())
        return ExternalChain(w.to(start), float(kernel.logging()["acc. prob"]), float(kernel.step_size))

    return External(run)


def _walk(kernel: Any, at: dict[str, Tensor], warmup: int, draws: int) -> Tensor:
    """Draws [T, P] after the warm-up."""
    kernel.initial_params = at
    kernel.setup(warmup)
    kept = []
    for draw in range(warmup + draws):
        at = kernel.sample(at)
        if draw >= warmup:
            kept.append(at["w"].clone())
    return torch.stack(kept)
