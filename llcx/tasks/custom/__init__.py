"""A model, data and a loss of the user's own, named on the command line. Importing the package registers the task."""

from llcx.tasks.custom.task import build

__all__ = ["build"]
