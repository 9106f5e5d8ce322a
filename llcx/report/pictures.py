"""The figures of a folder, inlined in reading order."""

import base64
from pathlib import Path
from typing import NamedTuple

CAPTIONS = {
    "collected.png": "A number against what was swept, with its intervals.",
    "eps_beta.png": "Estimate, variance over mean, acceptance over step size and n\u03b2; a star: what was calibrated.",
    "llc_comparison.png": "Estimates against known values.",
    "leaderboard.png": "Errors of every sampler over all problems of known value, and their table.",
    "llc_loglog.png": "Estimate against theory over all networks, by number of parameters.",
    "llc_parts.png": "Parts of the model, each sampled alone, and their sum beside the whole.",
    "influence.png": "How the losses of single rows move together along the chains.",
    "susceptibilities.png": "How each part answers to a shift of the data towards one row.",
    "dln_scaling.png": "Relative errors by size of network.",
    "lsa_llc_comparison.png": "Estimates against the two theories, by alpha.",
    "lsa_errors.png": "Relative errors against either theory, and their table.",
    "lsa_gap.png": "How far the two theories lie apart, against d_l.",
    "lsa_phases.png": "Phases of the two theories over (d_l, rank M).",
    "full_attn_staircase.png": "Loss, singular values and learning coefficient, one direction after another.",
    "full_attn_trajectory.png": "One training: ranks, loss, estimates, singular values.",
    "full_attn_multi.png": "All trainings: mean and range over seeds.",
    "llc_traces.png": "Traces of every chain: the dropped warm-up, the kept draws and the running estimate.",
    "llc_warmup.png": "The warm-up of the first measurements: energies and what adapted; norms of the steps after it.",
    "llc_qq.png": "Quantiles against the Gamma law, which a regular model has exactly and a singular one nearly.",
    "training.png": "Training curves.",
}
DOTS, SHOWN = 150, 100  # an inch of the files, and CSS pixels an inch that they are shown at


class Picture(NamedTuple):
    """A PNG with its size in CSS pixels."""

    name: str
    caption: str
    width: int
    height: int
    data: str  # base64


def pictures(path: Path) -> list[Picture]:
    """Every PNG of the folder: the known ones in reading order, then the others by name."""
    found = {file.name: file.read_bytes() for file in sorted(path.glob("*.png"))}
    names = [name for name in CAPTIONS if name in found] + [name for name in found if name not in CAPTIONS]
    return [picture(name, found[name]) for name in names]


def picture(name: str, content: bytes) -> Picture:
    """The size stands in a PNG's head, at bytes 16 to 24."""
    width, height = (int.from_bytes(content[at : at + 4], "big") * SHOWN // DOTS for at in (16, 20))
    return Picture(name, CAPTIONS.get(name, ""), width, height, base64.b64encode(content).decode())
