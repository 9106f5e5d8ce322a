"""Machines that run programs on grids: does a subspace that tasks share make new compositions of them cheaper?

Importing the package registers task, model and data.
"""

from llcx.tasks.mcl.task import build

__all__ = ["build"]
