"""Two attention layers without softmax, on prompts X [.., k+1, d+1] whose last row is the query.

    linear, matrix   X W_Q W_K^T X^T, all of it
    linear, scalar   its last entry x^T W_Q W_K^T x, x the query
    full             the last entry of (X W_Q W_K^T X^T) X W_V W_O^T: a prediction of the query's label

Neither is divided by N. Parameters are W_Q, W_K [d+1, d_l] and, in full, W_V, W_O [d+1, d_l].
"""

import torch
from torch import Tensor, nn

OUTPUTS = ("matrix", "scalar")


class LinearAttention(nn.Module):
    """X -> X W_Q W_K^T X^T [.., k+1, k+1], or its last entry [..]."""

    def __init__(self, W_Q: Tensor, W_K: Tensor, output: str = "matrix") -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got {output}")
        self.W_Q, self.W_K = _copies(W_Q, W_K)
        self.output = output

    def forward(self, X: Tensor) -> Tensor:
        if self.output == "scalar":
            query = X[..., -1, :]
            return ((query @ self.W_Q) * (query @ self.W_K)).sum(-1)
        return (X @ self.W_Q) @ (X @ self.W_K).mT


class FullAttention(nn.Module):
    """X -> the prediction [..]; it needs the last row of the attention and the last column of W_V W_O^T alone."""

    def __init__(self, W_Q: Tensor, W_K: Tensor, W_V: Tensor, W_O: Tensor) -> None:
        super().__init__()
        self.W_Q, self.W_K, self.W_V, self.W_O = _copies(W_Q, W_K, W_V, W_O)

    def forward(self, X: Tensor) -> Tensor:
        key = X[..., -1, :] @ self.W_Q @ self.W_K.T
        scores = X @ key.unsqueeze(-1)
        read = (X.mT @ scores).squeeze(-1)
        return read @ self.W_V @ self.W_O[-1]


def balanced(matrix: Tensor, rank: int, columns: int) -> tuple[Tensor, Tensor]:
    """W_Q, W_K [p, columns] with W_Q^T W_Q = W_K^T W_K, whose W_Q W_K^T is the best of `rank` to `matrix` [p, p]."""
    left, values, right = torch.linalg.svd(matrix)
    root = values[:rank].sqrt()
    pad = (0, columns - rank)
    return (
        nn.functional.pad(left[:, :rank] * root, pad),
        nn.functional.pad(right[:rank].T * root, pad),
    )


def _copies(*weights: Tensor) -> list[nn.Parameter]:
    return [nn.Parameter(weight.detach().clone()) for weight in weights]
