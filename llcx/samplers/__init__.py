"""Samplers: one kernel a file, found by the registry. `llcx.samplers.SGLD(...)` and its like are their settings."""

from llcx.samplers.adam_sgld import AdamSGLD
from llcx.samplers.gibbs import Gibbs
from llcx.samplers.hmc import HMC
from llcx.samplers.mala import MALA
from llcx.samplers.mclmc import MCLMC
from llcx.samplers.nuts import NUTS
from llcx.samplers.rmsprop_sgld import RMSpropSGLD
from llcx.samplers.sghmc import SGHMC
from llcx.samplers.sgld import SGLD
from llcx.samplers.sgnht import SGNHT

__all__ = ["HMC", "MALA", "MCLMC", "NUTS", "SGHMC", "SGLD", "SGNHT", "AdamSGLD", "Gibbs", "RMSpropSGLD"]
