"""Full attention trained on in-context regression: the learning coefficient along training, stage by stage.

Of the trained model itself, and of the linear attention that its key-query part alone makes. Importing the package
registers task, model and data.
"""

from llcx.tasks.full_attn.task import build

__all__ = ["build"]
