"""Variational autoencoders whose prior falls as a power law along the latent dimensions, against those that do not.

Importing the package registers task, model and data.
"""

from llcx.tasks.vae.task import build

__all__ = ["build"]
