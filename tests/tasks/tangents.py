"""Small kernels for tests: weights, inputs, and how far two kernels are apart."""

import torch
from torch import Tensor

from llcx.tasks.parity.kernels import Blocks
from llcx.tasks.parity.network import FullyConnected


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def weights(network: FullyConnected, members: int = 2) -> Tensor:
    return torch.stack([network.initial(generator(seed)) for seed in range(members)])


def difference(found: Blocks, wanted: Blocks) -> float:
    """The largest over the blocks, relative."""
    return max(float((one - two).norm() / two.norm()) for one, two in zip(found, wanted, strict=True))
