"""Problems of known learning coefficient: what a sampler is certified on.

Most have not only a known lambda but an exact value at every n*beta and gamma. Importing the package registers the
task.
"""

from llcx.tasks.suite.task import build

__all__ = ["build"]
