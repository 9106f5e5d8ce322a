"""Information criteria beside lambda, from the losses of single rows at kept draws.

With l_i(w) = -log p(row i | w) in nats, E and Var over the posterior exp(-n*beta L_n(w) - gamma/2 |w - w*|^2), whose
inverse temperature is beta = n*beta / n:

    functional variance   V = sum_i Var l_i                  (Watanabe 2010, JMLR 11:3571)
    singular fluctuation  nu = beta V / 2                    (its limit is nu(beta); Watanabe 2009, chapter 6)
    Gibbs training loss   G = E L_n                          (Watanabe 2009), nats an example
    Bayes training loss   T = -1/n sum_i log E exp(-l_i)     (Watanabe 2009), nats an example
    WAIC                  T + beta V / n                     (Watanabe 2010, at any beta), nats an example
    WBIC                  n E L_n at beta = 1 / log n        (Watanabe 2013, JMLR 14:867), nats

and lambda = (E_1 n L_n - E_2 n L_n) / (1/beta_1 - 1/beta_2) from two temperatures (Watanabe 2013), without L(w*). In a
linear regression with flat prior, leverages h_i and residuals r_i / sigma, nu = sum_i r_i^2 h_i / 2 + h_i^2 / (4 beta),
near d/2, and WBIC is the BIC. With G = L(w*) + E K the WAIC is G - 1/n sum_i log E exp(E l_i - l_i) + beta V / n, and
only its two small terms are taken on a subset of the rows.

Products of means over different chains stand for squared means, so V is unbiased however correlated the draws of a
chain; standard errors leave one chain out at a time. All is conditional on the data and on the localiser as prior.
"""

from collections.abc import Callable
from math import isfinite, log, nan

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from llcx.diagnostics import standard_error
from llcx.influence import choose
from llcx.types import Chains, Draws, PerChain, Plan, Potential, State, Trace

NAME = "losses of rows"
ROWS = 2000  # rows that are looked at; fewer where there are fewer
LOOKS = 200  # chains times draws that are looked at in a run of LENGTH draws, and in proportion in a longer one
LENGTH = 120
QUARTER = 4  # what the run at the second temperature divides n*beta by


class RowLosses:
    """Moments of the excess of single rows over chains and draws, as a function to observe; it returns zeros [C]."""

    def __init__(
        self,
        examples: Callable[[Chains, Int[Tensor, " R"]], Float[Tensor, "C R"]],
        idx: Int[Tensor, " R"],
        every: int = 1,
    ) -> None:
        """Of the rows `idx`, at every `every`-th call."""
        self.examples, self.idx, self.every = examples, idx, every
        self.restart()

    def restart(self) -> None:
        """Forget what was seen: another run begins."""
        self.calls = self.looks = 0
        self.first = self.second = self.tilted = torch.zeros(0)

    def state(self) -> State:
        return {name: getattr(self, name) for name in ("calls", "looks", "first", "second", "tilted")}

    def load(self, state: State) -> None:
        for name, value in state.items():
            setattr(self, name, value.to(self.idx.device) if isinstance(value, Tensor) else value)

    def __call__(self, w: Chains) -> PerChain:
        if self.calls % self.every == 0:
            self._look(self.examples(w, self.idx))
        self.calls += 1
        return torch.zeros(len(w), dtype=torch.float64)

    def _look(self, excess: Float[Tensor, "C R"]) -> None:
        """Sums [C, R] of e, of e^2, and the logarithm of the sum of exp(-e)."""
        if self.looks == 0:
            self.first, self.second = torch.zeros_like(excess), torch.zeros_like(excess)
            self.tilted = torch.full_like(excess, -torch.inf)
        self.first += excess
        self.second += excess.square()
        self.tilted = torch.logaddexp(self.tilted, -excess)
        self.looks += 1

    def variance(self, chains: Bool[Tensor, " C"]) -> Float[Tensor, " R"]:
        """Posterior variance of each row's loss, unbiased from two chains on."""
        mean, square = self.first[chains] / self.looks, (self.second[chains] / self.looks).mean(0)
        count = len(mean)
        if count < 2:
            return square - mean.mean(0).square()
        return square - (mean.sum(0).square() - mean.square().sum(0)) / (count * (count - 1))

    def gain(self, chains: Bool[Tensor, " C"]) -> Float[Tensor, " R"]:
        """log E exp(E l_i - l_i) >= 0 of each row: what averaging predictions gains over averaging losses."""
        many = self.looks * int(chains.sum())
        mean = self.first[chains].sum(0) / many
        return torch.logsumexp(self.tilted[chains], 0) - log(many) + mean


Watched = dict[str, RowLosses]  # by the name under which they are observed


def watch(potential: Potential, plan: Plan, generator: Generator) -> Watched:
    """What to observe along a run; nothing where the posterior is not that of a sample of rows with labels.

    On at most ROWS different rows, spread evenly with random offsets from `generator`, and at so few draws that it
    costs little.
    """
    apart = potential.population or potential.target != "data" or plan.subset
    if potential.examples is None or apart:
        return {}
    idx = choose(ROWS, potential.rows, generator)
    every = max(1, plan.chains * min(plan.draws, LENGTH) // LOOKS)
    return {NAME: RowLosses(potential.examples, idx.to(potential.at.device), every)}


def of_rows(losses: RowLosses, draws: Draws, plan: Plan, potential: Potential, loss_at: float) -> dict[str, float]:
    """functional_variance, nu, gibbs_loss, waic and standard errors; what needs L(w*) = `loss_at` only where known."""
    beta, share = plan.nbeta / potential.n, potential.rows / len(losses.idx)
    energy = draws.energy.mean(1) / plan.nbeta  # E K, chain by chain
    every = torch.ones(len(energy), dtype=torch.bool)

    def criteria(chains: Bool[Tensor, " C"]) -> Float[Tensor, "2"]:
        """V, and WAIC above L(w*)."""
        variance, gain = (share * float(part(chains).sum()) for part in (losses.variance, losses.gain))
        return torch.tensor([variance, float(energy[chains].mean()) + (beta * variance - gain) / potential.n])

    (variance, waic), errors = criteria(every).tolist(), left_out(criteria, len(energy))
    missing = 1 - 1 / share  # of the rows, as their spread is that of a sample without replacement
    rows = share * float(losses.variance(every).std()) * (len(losses.idx) * missing) ** 0.5 if missing else 0.0
    found = {
        "functional_variance": variance,
        "nu": beta * variance / 2,
        "nu_se": beta / 2 * (errors[0] ** 2 + rows**2) ** 0.5,
        "gibbs_loss": loss_at + float(energy.mean()),
        "waic": loss_at + waic,
        "waic_se": (errors[1] ** 2 + ((beta - 0.5) * rows / potential.n) ** 2) ** 0.5,
    }
    return {name: value for name, value in found.items() if isfinite(value)}


def left_out(statistic: Callable[[Bool[Tensor, " C"]], Float[Tensor, " K"]], chains: int) -> list[float]:
    """Jackknife standard errors [K] of a statistic of chains; nan for fewer than three."""
    if chains < 3:
        return [nan] * len(statistic(torch.ones(chains, dtype=torch.bool)))
    found = torch.stack([statistic(torch.arange(chains) != chain) for chain in range(chains)])
    return ((chains - 1) ** 0.5 * found.std(0, correction=0)).tolist()


def of_energy(trace: Trace, plan: Plan, potential: Potential, loss_at: float) -> dict[str, float]:
    """wbic, where n*beta is n / log n and L(w*) known; it is local, the localiser being the prior."""
    sample = potential.target == "data" and not potential.population and potential.n > 2 and not plan.subset
    if not sample or abs(plan.nbeta * log(potential.n) / potential.n - 1) > 1e-3 or not isfinite(loss_at):
        return {}
    return {"wbic": potential.n * (loss_at + float(trace.mean()) / plan.nbeta)}


def of_temperatures(trace: Trace, quarter: tuple[float, float]) -> dict[str, float]:
    """llc_wbic, lambda from the losses at n*beta and n*beta/4; `quarter`: E[n*beta/4 K] and its standard error."""
    error = ((QUARTER * quarter[1]) ** 2 + standard_error(trace) ** 2) ** 0.5
    found = QUARTER * quarter[0] - float(trace.mean())
    return {"llc_wbic": found / (QUARTER - 1), "llc_wbic_se": error / (QUARTER - 1)}
