"""Sequences of bigrams that repeat: some tokens are followed by the same token all along a sequence.

A language has transition probabilities B [V, V], the same in all sequences. In each sequence a token is a trigger with
probability q, and then has a follower of its own, uniform over V: after a trigger comes its follower, after another
token a draw from B. So what follows a token that occurred before is partly learned from the sequence itself: by looking
for the token's earlier place and copying what came after, which is what an induction head does.

After Bietti et al. (2023), "Birth of a transformer: a memory viewpoint", arXiv:2306.00802, with triggers independent of
each other, so that the best prediction is known in closed form (`ideal`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llcx import rng
from llcx.types import Streams

Tokens = Int[Tensor, "R L"]
Nats = Float[Tensor, "R T"]


@dataclass(frozen=True)
class Language:
    """What all sequences have in common; a sequence is a function of (key, row)."""

    base: Float[Tensor, "V V"]  # B, float64
    triggers: float  # q
    length: int  # tokens of a sequence

    def rows(self, key: int, rows: Int[Tensor, " R"]) -> Tokens:
        """The sequences of `rows`; the first token is uniform."""
        size = len(self.base)
        drawn = rng.counter_uniform(key, rows, self.length + 2 * size)
        steps, is_trigger, follower = drawn.split([self.length, size, size], 1)
        rule = torch.where(is_trigger < self.triggers, (follower * size).long(), -1)
        tokens = [(steps[:, 0] * size).long()]
        cumulative = self.base.cumsum(1)
        for step in steps[:, 1:].unbind(1):
            free = (step.unsqueeze(1) > cumulative[tokens[-1]]).sum(1).clamp(max=size - 1)
            bound = rule.gather(1, tokens[-1].unsqueeze(1)).squeeze(1)
            tokens.append(torch.where(bound < 0, free, bound))
        return torch.stack(tokens, 1)

    def marginal(self, tokens: Tokens) -> Nats:
        """Nats of each next token to whom knows the language and the token before it: T = L - 1."""
        now, following = tokens[:, :-1], tokens[:, 1:]
        share = self.triggers / len(self.base)
        return -(share + (1 - self.triggers) * self.base[now, following]).log()

    def ideal(self, tokens: Tokens) -> Nats:
        """Nats of each next token to whom also remembers the sequence: Bayes' rule, exactly.

        A token that was followed by s_1 .. s_m has weights q / V for each follower that agrees with all of them, and
        (1 - q) prod B[token, s_i] for being no trigger.
        """
        now, following = tokens[:, :-1], tokens[:, 1:]
        size, time = len(self.base), now.shape[1]
        same = (now.unsqueeze(2) == now.unsqueeze(1)) & torch.ones(time, time, dtype=torch.bool).tril(-1)
        free = torch.where(same, self.base[now, following].log().unsqueeze(1), 0.0).sum(2).exp()
        agree = (~same | (following.unsqueeze(1) == following.unsqueeze(2))).all(2)  # earlier ones with this next
        alike = self._unanimous(same, following)
        first = ~same.any(2)
        trigger = torch.where(first, float(size), alike.double()) * self.triggers / size
        weight = trigger + (1 - self.triggers) * free
        joint = agree.double() * self.triggers / size + (1 - self.triggers) * free * self.base[now, following]
        return -(joint / weight).log()

    def _unanimous(self, same: Bool[Tensor, "R T S"], following: Int[Tensor, "R T"]) -> Bool[Tensor, "R T"]:
        """Whether all that followed earlier was one token."""
        each = following.unsqueeze(1).expand(same.shape)
        most = torch.where(same, each, -1).amax(2)
        least = torch.where(same, each, len(self.base)).amin(2)
        return most == least


def language(vocabulary: int, concentration: float, triggers: float, length: int, streams: Streams) -> Language:
    """B's rows are Dirichlet draws of the given concentration, below 1: few tokens follow each."""
    generator = streams.generator("language")
    weights = torch.full((vocabulary, vocabulary), concentration, dtype=torch.float64)
    base = torch._standard_gamma(weights, generator=generator).clamp(min=1e-12)
    return Language(base / base.sum(1, keepdim=True), triggers, length)


def repeated(tokens: Tokens) -> Bool[Tensor, "R T"]:
    """Whether the token before each prediction occurred earlier: where the sequence itself can tell."""
    now = tokens[:, :-1]
    earlier = torch.ones(now.shape[1], now.shape[1], dtype=torch.bool).tril(-1)
    return ((now.unsqueeze(2) == now.unsqueeze(1)) & earlier).any(2)
