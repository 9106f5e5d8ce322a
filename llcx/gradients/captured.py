"""A recording (traces.py) on a GPU as one CUDA graph: its kernels are launched at once, not one by one.

Small models wait for launches, of some microseconds each, and not for what the kernels calculate. A graph reads and
writes where it was captured: what it is given is copied there, what it finds is copied out.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from llcx.gradients.quicker import Quicker

WARM = 3  # calls before the capture, in which libraries set themselves up
Run = Callable[..., Sequence[Tensor]]


class Captured(Quicker):
    """A recording by replay."""

    name: ClassVar[str] = "cuda_graph"
    maker: ClassVar[str] = "capturing a CUDA graph"
    doing: ClassVar[str] = "captured"

    def made(self, given: Sequence[Tensor]) -> Run:
        held = [each.clone() for each in given]
        replay, found = capture(self._module.forward, held)

        def run(*given: Tensor) -> Sequence[Tensor]:
            for mine, new in zip(held, given, strict=True):
                mine.copy_(new)
            replay()
            return [each.clone() for each in found]

        return run


def possible(w: Tensor) -> bool:
    return w.device.type == "cuda"


def capture(run: Run, held: Sequence[Tensor]) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """What calculates `run` again from what stands in `held` then, and the tensors in which its results appear.

    On a stream of its own first, as torch's documentation of CUDA graphs asks for.
    """
    device = held[0].device
    side, here = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    side.wait_stream(here)
    with torch.cuda.stream(side), torch.no_grad():
        for _ in range(WARM):
            run(*held)
    here.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side), torch.no_grad():
        found = run(*held)
    return graph.replay, found
