"""Multilayer perceptrons of a wanted size, taught by another one: inputs, noise and likelihood of one's choice.

Nobody knows their learning coefficient; that of linear regression (depth 0) and of `task.target=quadratic` is exact.
Importing the package registers task, model and data.
"""

from llcx.tasks.mlp.task import build

__all__ = ["build"]
