"""Samplers: one kernel a file, found by the registry. `llcx.samplers.SGLD(...)` and its like are their settings."""

from llcx.samplers.gibbs import Gibbs
from llcx.samplers.hmc import HMC
from llcx.samplers.sgld import SGLD

__all__ = ["HMC", "SGLD", "Gibbs"]
