"""Normals made by compiled C: a Philox generator whose numbers are functions of (key of the chain, call, position).

The C compiler of the system builds `noise.c` when it is first asked for; `reference` is the same generator in torch.
"""

from llcx.native.kernels import Kick, langevin, normal, ready

__all__ = ["Kick", "langevin", "normal", "ready"]
