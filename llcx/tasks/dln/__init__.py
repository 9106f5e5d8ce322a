"""Deep linear networks: y = W_L ... W_1 x + noise, taught by a map of known rank.

The one task whose learning coefficient is known exactly at every width, depth and rank: an estimator that fails here is
not ready for the others. Importing the package registers task, model and data.
"""

from llcx.tasks.dln.task import build

__all__ = ["build"]
