"""Sparse parity: lazy training against feature learning, and the learning coefficient along the way.

Importing the package registers task, model and data.
"""

from llcx.tasks.parity.task import ParityTask

__all__ = ["ParityTask"]
