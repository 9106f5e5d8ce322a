"""The tangent kernel of infinitely wide ReLU networks, for tests: the limit that every wide network must approach.

    Sigma_1(x, x') = x . x' / d                                Theta_1 = Sigma_1 + b^2
    Sigma_{l+1} = sqrt(q q') (sin t + (pi - t) cos t) / pi     Theta_{l+1} = Sigma_{l+1} + b^2 + Theta_l (pi - t) / pi

with q = Sigma_l(x, x), q' = Sigma_l(x', x'), cos t = Sigma_l(x, x') / sqrt(q q'): arc-cosine kernels of the activation
sqrt(2) max(z, 0). Weights are standard normal, biases start at 0 and are multiplied by b, every layer divides by the
square root of its inputs. Cho and Saul (2009); Jacot et al. (2018), arXiv:1806.07572.
"""

from math import pi

from jaxtyping import Float
from torch import Tensor


def tangent_kernel(
    x: Float[Tensor, "N d"], other: Float[Tensor, "K d"], hidden: int, bias: float
) -> Float[Tensor, "N K"]:
    """Theta after `hidden` hidden layers and the output layer."""
    d = x.shape[1]
    norm, other_norm = x.square().sum(1) / d, other.square().sum(1) / d  # of Sigma_l(x, x): the same for all layers
    scale = (norm[:, None] * other_norm).sqrt()
    sigma = x @ other.mT / d
    theta = sigma + bias**2
    for _ in range(hidden):
        cosine = (sigma / scale).clamp(-1, 1)
        angle = cosine.acos()
        sigma = scale * (angle.sin() + (pi - angle) * cosine) / pi
        theta = sigma + bias**2 + theta * (pi - angle) / pi
    return theta
