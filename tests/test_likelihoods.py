"""Losses in nats and their divergences against torch.distributions."""

import pytest
import torch
from torch import distributions as td

from llcx.likelihoods import Bernoulli, Categorical, Gaussian, NextToken

torch_rows = torch.Generator().manual_seed(0)
A, B = (torch.randn(6, 3, generator=torch_rows) for _ in range(2))


def test_gaussian_is_the_normal_up_to_its_constant() -> None:
    y = torch.randn(6, 3, generator=torch_rows)
    normal = td.Normal(A, 0.5)
    constant = 3 * td.Normal(0.0, 0.5).log_prob(torch.tensor(0.0))
    torch.testing.assert_close(Gaussian(0.5)(A, (None, y)), -normal.log_prob(y).sum(1) + constant)
    torch.testing.assert_close(Gaussian(0.5).kl(A, B), td.kl_divergence(normal, td.Normal(B, 0.5)).sum(1))


def test_categorical_is_the_categorical() -> None:
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(Categorical()(A, (None, y)), -td.Categorical(logits=A).log_prob(y))
    torch.testing.assert_close(
        Categorical().kl(A, B), td.kl_divergence(td.Categorical(logits=A), td.Categorical(logits=B))
    )


@pytest.mark.parametrize(("a", "b"), [(A, B), (A[:, 0], B[:, 0])])
def test_bernoulli_is_the_bernoulli(a: torch.Tensor, b: torch.Tensor) -> None:
    y = (a > 0).long()
    ours, theirs = Bernoulli(), td.Bernoulli(logits=a)
    torch.testing.assert_close(ours(a, (None, y)), -theirs.log_prob(y.float()).reshape(6, -1).sum(1))
    torch.testing.assert_close(
        ours.kl(a, b), td.kl_divergence(theirs, td.Bernoulli(logits=b)).reshape(6, -1).sum(1), rtol=1e-4, atol=1e-6
    )


def test_a_divergence_is_zero_at_w_star_and_positive_elsewhere() -> None:
    for likelihood in (Gaussian(), Categorical(), Bernoulli()):
        assert float(likelihood.kl(A, A).abs().max()) < 1e-6 < float(likelihood.kl(A, B).min())


def test_a_noise_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise_std must be > 0, got 0\.0"):
        Gaussian(0.0)


@pytest.mark.parametrize("likelihood", [Gaussian(0.5), Categorical(), Bernoulli()], ids=lambda x: type(x).__name__)
def test_the_root_squares_to_the_hessian_of_the_divergence(likelihood: Gaussian | Categorical | Bernoulli) -> None:
    row = A[0].double()
    hessian = torch.autograd.functional.hessian(lambda out: likelihood.kl(row[None], out[None]).sum(), row)
    columns = likelihood.root(row.expand(3, -1), torch.eye(3, dtype=torch.float64))  # S e_j, one a row
    torch.testing.assert_close(columns.T @ columns, hessian, rtol=1e-10, atol=1e-12)


TOKENS = torch.randint(3, (2, 5), generator=torch_rows)
LOGITS, OTHERS = (torch.randn(2, 4, 3, generator=torch_rows) for _ in range(2))
MASK = torch.tensor([[True, False, True, True], [False, True, False, True]])


class Looked(torch.nn.Module):
    """A language model whose logits are given."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        assert torch.equal(tokens, TOKENS[:, :-1])
        return self.logits


def test_next_tokens_are_categorical_predictions_summed_over_those_scored() -> None:
    likelihood, batch = NextToken(mask=1), (TOKENS, MASK)
    one, other = (likelihood.forward(Looked(logits), batch) for logits in (LOGITS, OTHERS))
    each = -td.Categorical(logits=LOGITS).log_prob(TOKENS[:, 1:])
    torch.testing.assert_close(likelihood.each(one, batch), each * MASK)
    torch.testing.assert_close(likelihood(one, batch), (each * MASK).sum(1))
    apart = td.kl_divergence(td.Categorical(logits=LOGITS), td.Categorical(logits=OTHERS))
    torch.testing.assert_close(likelihood.kl(one, other), (apart * MASK).sum(1))
    whole = NextToken("tokens")
    torch.testing.assert_close(
        whole(whole.forward(Looked(LOGITS), {"tokens": TOKENS}), {"tokens": TOKENS}), each.sum(1)
    )


def test_the_root_of_next_tokens_squares_to_the_hessian() -> None:
    row = LOGITS[:1, :2].double()
    hessian = torch.autograd.functional.hessian(lambda out: NextToken().kl(row, out).sum(), row).reshape(6, 6)
    columns = NextToken().root(row.expand(6, -1, -1), torch.eye(6, dtype=torch.float64).view(6, 2, 3)).reshape(6, 6)
    torch.testing.assert_close(columns.T @ columns, hessian, rtol=1e-10, atol=1e-12)
