"""The rows and the machine of one arm, as its settings and its streams alone decide them."""

from functools import lru_cache

from llcx.tasks.mcl import machine, schema
from llcx.tasks.mcl.batches import Sample, shown
from llcx.tasks.mcl.data_settings import Data
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.prompts import Inputs, Vocabulary
from llcx.tasks.mcl.sets import Sets
from llcx.types import Streams


def sets_of(cfg: schema.MCL, streams: Streams) -> Sets:
    """Shared by the arms of a seed: not to be written to."""
    return _sets(cfg.data, streams.key("data"))


def machine_of(cfg: schema.MCL, streams: Streams) -> Machine:
    """A machine at its initial weights; parts that two arms have in common start alike in both."""
    cfg = schema.applied(cfg)
    return machine.build(cfg.model, cfg.sae, vocabulary(cfg, sets_of(cfg, streams)), streams)


def vocabulary(cfg: schema.MCL, sets: Sets) -> Vocabulary:
    """What a machine must know of its data."""
    return Vocabulary(cfg.data.colours, sets.rules.counts, cfg.data.longest, cfg.data.conditioning)


def inputs(sample: Sample, conditioning: str) -> Inputs:
    """What of a batch a machine may see."""
    program = shown(sample, conditioning)
    demos = (sample.demos_x, sample.demos_y) if conditioning == "demos" else (None, None)
    return Inputs(sample.input, *program, *demos)


@lru_cache(maxsize=2)  # a study goes through the arms of one seed, then of the next
def _sets(data: Data, entropy: int) -> Sets:
    return Sets(data, entropy)
