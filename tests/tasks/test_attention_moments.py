"""Closed moments against raw prompts and against the formula for Lambda = I, and sums over rows against plain ones."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from llcx.tasks.attention import moments
from llcx.tasks.attention.moments import full_of_law, full_of_rows, linear_of_law, linear_of_rows
from llcx.tasks.attention.prompts import Law
from tests.stats import assert_matches
from tests.tasks.prompts import DOUBLE, assert_means, mixed, raw, weights

GROUPS = 40
LAWS = [
    (d, context, skewed)
    for d, context in ((1, 1), (2, 1), (3, 1), (1, 5), (2, 5), (3, 5), (2, 100))
    for skewed in (0, 1)
]


def law(d: int, context: int, skewed: bool = False) -> Law:
    return Law(d, context, mixed(d) if skewed else None)


def prompts(given: Law) -> tuple[Tensor, Tensor, Tensor]:
    """Raw ones, as many as their products' tails ask for."""
    return raw(given, GROUPS * (1000 if given.context > 10 else 6000 if given.d < 2 else 2000))


def spelled_out(D: Tensor, context: int) -> float:
    """E mean_ij (x_i^T D x_j)^2 for Lambda = I, D = [[M, c], [r^T, k]]: over pairs of tokens, tokens, and the query."""
    d, n = len(D) - 1, context
    M, c, r, k = D[:d, :d], D[:d, d], D[d, :d], D[d, d]
    size, trace, back = M.square().sum(), M.trace(), (M * M.T).sum()
    c2, r2, cr, last = c @ c, r @ r, c @ r, d * (d + 2) * k**2
    pair = size + d * (c2 + r2) + 2 * cr + last + 2 * k * trace
    own = trace**2 + (c + r) @ (c + r) + last + 2 * d * k * trace
    own = own + back + 2 * k * trace + last + c2 + r2 + 2 * d * cr + pair
    query = 2 * size + d * (c2 + r2)
    total = n * (n - 1) * pair + n * own + n * query + trace**2 + back + size
    return float(total / (n + 1) ** 2)


@pytest.mark.parametrize(("d", "context"), [(1, 1), (1, 100), (2, 1), (3, 7), (8, 100)])
def test_the_law_of_isotropic_inputs_is_the_explicit_formula(d: int, context: int) -> None:
    second = linear_of_law(law(d, context)).second
    for seed in range(5):
        D = weights(d + 1, d + 1, seed=seed)
        form = float(D.flatten() @ second @ D.flatten())
        assert form == pytest.approx(spelled_out(D, context), rel=1e-12)


@pytest.mark.parametrize(
    ("d", "context", "least", "greatest"),
    [(8, 100, 0.97, 80), (3, 100, 0.82, 15), (2, 20, 0.84, 8.3), (1, 100, 0.0098, 3.4)],
)
def test_the_linear_layer_s_metric_is_positive_definite(d: int, context: int, least: float, greatest: float) -> None:
    found = torch.linalg.eigvalsh(linear_of_law(law(d, context)).second)
    assert found[0].item() == pytest.approx(least, rel=0.01)
    assert found[-1].item() == pytest.approx(greatest, rel=0.02)


@pytest.mark.parametrize(("d", "context", "skewed"), LAWS)
def test_the_linear_layer_s_law_is_that_of_raw_prompts_along_eigenvectors(d: int, context: int, skewed: bool) -> None:
    given = law(d, context, skewed)
    X = prompts(given)[0]
    S = X.mT @ X
    for value, vector in eigenpairs(linear_of_law(given).second):
        assert_matches(losses(S, vector.reshape(d + 1, d + 1), context), value, rel_se=0.03)


def eigenpairs(second: Tensor) -> Iterator[tuple[float, Tensor]]:
    """The softest three, a middle and the stiffest one."""
    values, vectors = torch.linalg.eigh(second)
    for which in sorted({0, 1, 2, len(values) // 2, len(values) - 1}):
        yield values[which].item(), vectors[:, which]


def losses(S: Tensor, D: Tensor, context: int) -> Tensor:
    """mean_ij (x_i^T D x_j)^2 of each prompt, in GROUPS, through tr(D S D^T S)."""
    return ((D @ S) * (D.T @ S).mT).sum((1, 2)).unflatten(0, (GROUPS, -1)) / (context + 1) ** 2


def test_raw_prompts_of_another_covariance_have_another_law() -> None:
    X = prompts(law(2, 5))[0]
    second = linear_of_law(Law(2, 5, 1.05 * torch.eye(2, dtype=DOUBLE))).second
    of_identity = second[::4, ::4].sum().item()
    with pytest.raises(AssertionError, match="excludes"):
        assert_matches(losses(X.mT @ X, torch.eye(3, dtype=DOUBLE), 5), of_identity, rel_se=0.03)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_scalar_output_s_law_is_that_of_raw_prompts(skewed: bool) -> None:
    given = law(3, 5, skewed)
    X = prompts(given)[0]
    query = X[:, -1]
    products = torch.einsum("na,nb,nc,nd->nabcd", *[query] * 4).flatten(1)
    truth = linear_of_law(given, "scalar").second.flatten()
    assert_means(products, truth, products.abs().mean(0) + truth.max() * (products == 0).all(0))


def test_a_sum_is_a_mean_times_the_entries_of_the_whole_prompt() -> None:
    given = law(3, 10, True)
    X = raw(given, 20)[0]
    for total, mean in (
        (linear_of_law(given, reduction="sum"), linear_of_law(given)),
        (linear_of_rows([(X, None)], given, reduction="sum"), linear_of_rows([(X, None)], given)),
    ):
        torch.testing.assert_close(total.second, 11**2 * mean.second)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"reduction": "median"}, "reduction must be one of mean, sum, got median"),
        ({"output": "vector"}, "output must be one of matrix, scalar, got vector"),
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        linear_of_law(law(3, 10), **settings)


def symmetric(d: int, vector: Tensor) -> Tensor:
    """T [d, p, p] with sum_a x_a tr(T_a S) = vector . phi."""
    b, c = torch.triu_indices(d + 1, d + 1)
    T = torch.zeros(d, d + 1, d + 1, dtype=DOUBLE)
    T[:, b, c] = vector.unflatten(0, (d, -1))
    return 0.5 * (T + T.mT)


@pytest.mark.parametrize(("d", "context", "skewed"), LAWS)
def test_the_full_layer_s_law_is_that_of_raw_prompts_along_eigenvectors(d: int, context: int, skewed: bool) -> None:
    given = law(d, context, skewed)
    X = prompts(given)[0]
    S = X.mT @ X
    for value, vector in eigenpairs(full_of_law(given).second):
        output = torch.einsum("na,abc,nbc->n", X[:, -1, :-1], symmetric(d, vector), S)
        assert_matches(output.square().unflatten(0, (GROUPS, -1)), value, rel_se=0.05)


@pytest.mark.parametrize(("d", "context", "skewed"), LAWS[::3])
def test_the_full_layer_s_labels_are_those_of_raw_prompts(d: int, context: int, skewed: bool) -> None:
    given = law(d, context, skewed)
    X, y, _ = prompts(given)
    b, c = torch.triu_indices(d + 1, d + 1)
    seen = ((X[:, -1, :-1] * y[:, None]).unsqueeze(-1) * (X.mT @ X)[:, None, b, c]).flatten(1)
    truth = full_of_law(given, torch.zeros(d * len(b), dtype=DOUBLE)).cross
    assert truth is not None
    assert_means(seen, -truth, seen.abs().mean(0))


def test_the_cross_term_moves_with_w_star_as_the_metric_says() -> None:
    given, at = law(3, 5), weights(30)
    rows = raw(given, 50)[:2]
    for here, zero in (
        (full_of_law(given, at), full_of_law(given, 0 * at)),
        (full_of_rows([rows], given, at), full_of_rows([rows], given, 0 * at)),
    ):
        assert here.cross is not None and zero.cross is not None
        torch.testing.assert_close(here.cross - zero.cross, here.second @ at)


@pytest.mark.parametrize("output", ["matrix", "scalar"])
def test_moments_over_rows_do_not_depend_on_how_rows_are_cut(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = law(3, 5)
    X, y, _ = raw(given, 70)
    noise = weights(70, 6, 6) if output == "matrix" else weights(70)
    whole = linear_of_rows([(X, noise)], given, output), full_of_rows([(X, y)], given, weights(30))
    monkeypatch.setattr(moments, "BLOCK", 200)
    cut = [(X[:33], noise[:33]), (X[33:], noise[33:])]
    pieces = linear_of_rows(cut, given, output), full_of_rows([(X, y)], given, weights(30))
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one.second, other.second)
        torch.testing.assert_close(one.cross, other.cross)
