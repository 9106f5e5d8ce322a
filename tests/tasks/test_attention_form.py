"""K of flat parameters against the plain path, prompt after prompt through the module."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from llcx import rng
from llcx.params import layout
from llcx.tasks.attention import form
from llcx.tasks.attention.form import Quadratic, key_query, prediction
from llcx.tasks.attention.modules import FullAttention, LinearAttention
from llcx.tasks.attention.moments import Moments, full_of_law, full_of_rows, linear_of_law, linear_of_rows
from llcx.tasks.attention.prompts import Law, Prompts
from tests.stats import assert_matches
from tests.tasks.prompts import mixed, raw, weights

D, D_L, N, STD = 3, 2, 6, 0.7
P = D + 1
LAW = Law(D, N, mixed(D))
ROWS = raw(LAW, 40)[0], raw(LAW, 40)[1]
LINEAR, FULL = partial(key_query, p=P), partial(prediction, p=P)
AT_LINEAR, AT_FULL = weights(2 * P * D_L, size=0.5), weights(4 * P * D_L, size=0.5)


def linear(at: Tensor, output: str = "matrix") -> nn.Module:
    W_Q, W_K = at.unflatten(0, (2, P, D_L))
    return LinearAttention(W_Q, W_K, output)


def full(at: Tensor) -> nn.Module:
    return FullAttention(*at.unflatten(0, (4, P, D_L)))


def around(at: Tensor, step: float = 0.2) -> Tensor:
    return at + step * weights(3, len(at), seed=5)


def excess(module: nn.Module, w: Tensor, labels: Tensor, mean: bool = True) -> Tensor:
    """The mean over prompts of |output - label|^2 / (2 STD^2) above its value at w*, [C]."""
    over = (N + 1) ** 2 if mean and labels.dim() == 3 else 1

    def loss(output: Tensor) -> Tensor:
        return (output - labels).square().sum() / (2 * STD**2 * over * len(labels))

    names = layout(module)
    losses = [loss(functional_call(module, names.unflatten(row), (ROWS[0],))) for row in w]
    return torch.stack(losses) - loss(module(ROWS[0]))


def gradient(k: Tensor, w: Tensor) -> Tensor:
    return torch.autograd.grad(k.sum(), w)[0]


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("output", "reduction"), [("matrix", "mean"), ("matrix", "sum"), ("scalar", "mean")])
def test_the_linear_form_is_the_mean_over_rows(output: str, reduction: str, noisy: bool) -> None:
    module = linear(AT_LINEAR, output)
    clean = module(ROWS[0]).detach()
    noise = STD * weights(*clean.shape, seed=7) if noisy else None
    found = Quadratic(LINEAR, AT_LINEAR, STD**-2, lambda: linear_of_rows([(ROWS[0], noise)], LAW, output, reduction))
    w = around(AT_LINEAR).requires_grad_()
    plain = excess(module, w, clean if noise is None else clean + noise, reduction == "mean")
    torch.testing.assert_close(found(w), plain, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(gradient(found(w), w), gradient(plain, w), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("labelled", [False, True])
def test_the_full_form_is_the_mean_over_rows(labelled: bool) -> None:
    module = full(AT_FULL)
    own = module(ROWS[0]).detach()
    at = FULL(AT_FULL.unsqueeze(0))[0] if labelled else None
    found = Quadratic(FULL, AT_FULL, STD**-2, lambda: full_of_rows([ROWS], LAW, at))
    w = around(AT_FULL).requires_grad_()
    plain = excess(module, w, ROWS[1] if labelled else own)
    torch.testing.assert_close(found(w), plain, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient(found(w), w), gradient(plain, w), rtol=1e-9, atol=1e-9)


def test_the_prediction_is_its_features_times_those_of_the_weights() -> None:
    X = ROWS[0]
    b, c = torch.triu_indices(P, P)
    phi = (X[:, -1, :-1, None] * (X.mT @ X)[:, None, b, c]).flatten(1)
    torch.testing.assert_close(phi @ FULL(AT_FULL.unsqueeze(0))[0], full(AT_FULL)(X).detach())


CASES: dict[str, tuple[Callable[[Tensor], Tensor], Tensor, Callable[[], Moments]]] = {
    "linear law": (LINEAR, AT_LINEAR, lambda: linear_of_law(LAW)),
    "linear rows": (LINEAR, AT_LINEAR, lambda: linear_of_rows([(ROWS[0], None)], LAW)),
    "full law": (FULL, AT_FULL, lambda: full_of_law(LAW)),
    "full rows": (FULL, AT_FULL, lambda: full_of_rows([ROWS], LAW)),
}


@pytest.mark.parametrize("case", CASES)
def test_w_star_is_a_minimum_of_what_it_labels_itself(case: str) -> None:
    features, at, make = CASES[case]
    k = Quadratic(features, at, 1.0, make)
    w = at.unsqueeze(0).clone().requires_grad_()
    assert k(w).abs().max() == 0
    assert gradient(k(w), w).abs().max() < 1e-13
    assert (k(around(at)) > 1e-3).all()


def test_w_star_is_no_minimum_of_noisy_labels() -> None:
    k = Quadratic(LINEAR, AT_LINEAR, 1.0, lambda: linear_of_rows([(ROWS[0], weights(40, N + 1, N + 1))], LAW))
    w = AT_LINEAR.unsqueeze(0).clone().requires_grad_()
    assert k(w).item() == 0
    assert gradient(k(w), w).norm() > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_the_form_keeps_its_digits_near_w_star_in_float32(case: str) -> None:
    features, at, make = CASES[case]
    at = at.float().double()
    k = Quadratic(features, at, 1.0, make)
    w = around(at, 1e-3).float()
    assert k(w).dtype == torch.float64
    torch.testing.assert_close(k(w), k(w.double()), rtol=0.01, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("given", [Law(D, N), LAW])
def test_a_sparse_metric_gives_what_the_whole_one_gives(
    given: Law, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = around(AT_FULL).to(dtype).requires_grad_()
    found: list[tuple[Tensor, Tensor]] = []
    for least in (0, 10**9):
        monkeypatch.setattr(form, "SPARSE_FROM", least)
        monkeypatch.setattr(form, "SPARSE_BELOW", 2.0)
        k = Quadratic(FULL, AT_FULL, 1.0, lambda: full_of_law(given, weights(30)))(w)
        found.append((k.detach(), gradient(k, w)))
    exact = 1e-5 if dtype == torch.float32 else 1e-12
    for sparse, whole in zip(*found, strict=True):
        torch.testing.assert_close(sparse, whole, rtol=exact, atol=exact * float(whole.abs().max()))


def test_moments_are_asked_for_once_and_only_where_k_is() -> None:
    asked = []

    def moments() -> Moments:
        asked.append(1)
        return linear_of_law(LAW)

    k = Quadratic(LINEAR, AT_LINEAR, 1.0, moments)
    assert asked == []
    k(around(AT_LINEAR)), k(around(AT_LINEAR).float())
    assert asked == [1]


def test_compressed_prompts_have_the_law_s_loss() -> None:
    """All at once: module, prompts, moments and form, each way with its own numbers."""
    module, w = linear(AT_LINEAR), around(AT_LINEAR)[:1]
    X, _ = Prompts(LAW, rng.streams(0))(torch.arange(100_000))
    gaps = functional_call(module, layout(module).unflatten(w[0]), (X,)) - module(X)
    each = gaps.detach().square().sum((1, 2)) / (2 * (N + 1) ** 2)
    assert_matches(each.unflatten(0, (20, -1)), Quadratic(LINEAR, AT_LINEAR, 1.0, lambda: linear_of_law(LAW))(w).item())
