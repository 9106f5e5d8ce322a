"""training.png: the curves of metrics.csv, a panel a quantity."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import style, wording

DASHES: dict[str, Any] = {"train": "-", "test": (0, (4, 2)), "val": (0, (1, 1))}
KEYS = {"train": "-", "test": "--", "val": ":"}  # the same in the legend
MOST = 12  # panels
FIRST = "loss nll nats mse kl active aloss err error accuracy norm dnorm grad_norm relevant irrelevant t dt".split()
NATS = ("loss", "nll", "nats")  # in nats where a task trains on its model's loss
SAID = {"mse": "mean squared error", "kl": "KL divergence [nats]", "active": "active latents", "nats": "negative ELBO"}
NAMED = 8  # trained networks that get a colour and a line in the legend each


@style.look
def figure(folder: RunFolder) -> Figure | None:
    """A panel a metric, a line a (network, split); None where nothing was trained.

    A network is a training, or a member of it where the split says one: `test alpha=0.3`.
    """
    frame = folder.metrics()
    if frame.empty:
        return None
    splits = frame["split"].str.partition(" ")
    frame = frame.assign(split=splits[0], network=frame["training"] + ("," + splits[2]).where(splits[2] != "", ""))
    every = ordered(list(dict.fromkeys(frame["name"])))
    names, nats = every[:MOST], in_nats(folder)
    networks = labels(list(dict.fromkeys(frame["network"])))
    picture, axes = style.grid(len(names), 3, 0.62)
    for axis, name in zip(axes, names, strict=True):
        panel(axis, frame[frame["name"] == name], networks)
        title = SAID.get(name, wording.plain(name))
        axis.set_title(f"{title} [nats]" if name == "nats" or (nats and name in NATS) else title)
    style.outer_labels(axes, "training step", "value")
    what = "trainings" if frame["training"].nunique() == len(networks) else "networks"
    alike = f"{len(networks)} {what}, drawn alike." if len(networks) > NAMED else ""
    notes = [alike, left_out(every[MOST:])]
    return style.finish(picture, "Training curves", notes, keys(networks, list(dict.fromkeys(frame["split"]))))


def in_nats(folder: RunFolder) -> bool:
    """Whether what is minimised is: not a margin loss, nor a mean over pixels beside one over latents."""
    loss = folder.config.get("task", {}).get("loss") or {}
    return isinstance(loss, str) or ("kind" not in loss and loss.get("reduction") != "seed")


def ordered(names: Sequence[str]) -> list[str]:
    """Losses and errors before the others, those of parts (`norm.W1`) last."""

    def place(name: str) -> tuple[bool, int]:
        return "." in name, FIRST.index(name) if name in FIRST else len(FIRST)

    return sorted(names, key=place)


def labels(networks: Sequence[str]) -> dict[str, str]:
    """Names without the parts that all of them have."""
    parts = [network.split(",") for network in networks]
    shared = set.intersection(*map(set, parts)) if len(parts) > 1 else set()
    kept = (",".join(part for part in each if part not in shared) for each in parts)
    return {network: wording.plain(label or network) for network, label in zip(networks, kept, strict=True)}


def keys(networks: Mapping[str, str], splits: Sequence[str]) -> dict[str, Any]:
    """The legend: networks by colour where they are few, splits by dash."""
    few = 1 < len(networks) <= NAMED
    found = (
        {label: style.key(line="-", color=style.CYCLE[i]) for i, label in enumerate(networks.values())} if few else {}
    )
    ink = style.INK if few else style.CYCLE[0]
    return found | {split or "all": style.key(line=KEYS.get(split, "-"), color=ink) for split in splits}


def panel(axis: Axes, frame: Any, networks: Mapping[str, str]) -> None:
    """The curves of one metric; a logarithmic axis where the values ask for it."""
    few = len(networks) <= NAMED
    lines: Any = {"lw": 1.3, "alpha": 1.0} if few else {"lw": 0.7, "alpha": 0.6}
    for (network, split), curve in frame.groupby(["network", "split"], sort=False, dropna=False):
        colour = style.CYCLE[list(networks).index(network)] if few else style.CYCLE[0]
        once: Any = {"marker": "o", "ms": 4} if len(curve) == 1 else {}  # a line of one value is not seen
        axis.plot(curve["step"], curve["value"], color=colour, ls=DASHES.get(split, "-"), **lines, **once)
    values = frame["value"].to_numpy(float)
    if style.wide(values[np.isfinite(values)]):
        axis.set_yscale("log")


def left_out(names: Sequence[str]) -> str:
    """Metrics that have no panel."""
    more = len(names) - wording.LISTED
    listed = ", ".join(names[: wording.LISTED]) + (f" and {more} more" if more > 0 else "")
    return f"Not drawn, in metrics.csv: {listed}." if names else ""
