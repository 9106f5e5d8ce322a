"""report.html: a run folder as one page that needs nothing but itself. `python -m llcx.report DIR` writes it again."""

import base64
import logging
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from llcx import artifacts
from llcx.artifacts import RunFolder
from llcx.artifacts.files import replace
from llcx.artifacts.writer import flat
from llcx.figures import flags, rows, wording
from llcx.figures.rows import Row

log = logging.getLogger("llcx.report")
CAPTIONS = {
    "eps_beta.png": "Estimate, variance over mean, acceptance over step size and n\u03b2; a star: what was calibrated.",
    "llc_comparison.png": "Estimates against known values.",
    "leaderboard.png": "Errors of every sampler over all problems of known value, and their table.",
    "llc_loglog.png": "Estimate against theory over all networks, by number of parameters.",
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
ALWAYS = ("point", "sampler", "health", "\u03bb\u0302", "95 % interval", "known", "error", "R\u0302", "ESS", "seconds")
PICTURE = "picture"
SCALES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)  # half-widths of the interval pictures, as relative errors


class Cell(NamedTuple):
    """What a table shows, and the number it is sorted by."""

    text: str
    sort: float | str  # "" where it is unknown
    number: bool  # set to the right
    bar: "Bar | None" = None


class Bar(NamedTuple):
    """An interval around the known value, which lies at 50: places from 0 to 100, cut at the edges."""

    low: float
    mid: float
    high: float
    outside: str  # "", "left" or "right": where an estimate beyond the edge lies


def write(folder: RunFolder) -> Path:
    """Write report.html into the folder, from what the folder holds; returns its path."""
    path = folder.path / "report.html"
    replace(path, render(folder).encode())
    return path


def render(folder: RunFolder) -> str:
    """The page as text; every value from the folder is escaped."""
    template = resources.files("llcx").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    every, info, status = rows.read(folder), folder.run_info, folder.status
    level, sentences = verdict(every, status)
    return environment.from_string(template).render(
        title=title(folder),
        command=info.get("command", ""),
        level=level,
        verdict=sentences,
        conditions=wording.conditions([row for row in every if not row.failed]),
        table=table(every),
        health=health(every),
        pictures=pictures(folder.path),
        stages=stages(info),
        costs=costs(every),
        git=git(info.get("git", {})),
        origin=pairs({key: value for key, value in info.items() if key not in ("stages", "git", "command")}),
        plans=plans(folder.target_info),
        target=pairs({key: value for key, value in folder.target_info.items() if key != "points"}),
        settings=pairs(folder.config),
    )


def title(folder: RunFolder) -> str:
    """Task, and the last two parts of the path: a run's day and time."""
    task = folder.config.get("task", {}).get("name", "llcx")
    return f"{task} \u00b7 {'/'.join(folder.path.resolve().parts[-2:])}"


def verdict(every: Sequence[Row], status: Mapping[str, Any]) -> tuple[str, list[str]]:
    """(good, warn or bad; sentences): how far to trust what follows, before anything else is read."""
    failed, ill = sum(row.failed for row in every), sum(not row.healthy and not row.failed for row in every)
    state = str(status.get("state", "unknown"))
    if state == "running" and status.get("stage") == "report":
        state = "completed"  # but for this very page
    sentences = [] if state == "completed" else [f"State of this run: {state}. {status.get('error') or ''}".strip()]
    sentences.append(single(every[0]) if len(every) == 1 else several(every, ill, failed))
    bad = state == "failed" or failed > 0 or not every
    return ("bad" if bad else "warn" if ill or state != "completed" else "good"), sentences


def single(row: Row) -> str:
    """The verdict on a run of one measurement."""
    if row.failed:
        return f"The measurement gave no number: {', '.join(row.flags) or 'no reason recorded'}."
    words = f"\u03bb\u0302 = {wording.interval(row.llc, row.low, row.high)} (95 %)"
    if math.isfinite(row.known):
        inside = "inside" if row.low <= row.known <= row.high else "outside"
        words += f"; the known value {wording.number(row.known)} lies {inside} the interval"
        words += f" (error {wording.percent(row.rel_error, signed=True)})"
    return f"{words}. {'Healthy.' if row.healthy else 'Flagged: ' + ', '.join(map(flags.short, row.flags)) + '.'}"


def several(every: Sequence[Row], ill: int, failed: int) -> str:
    """The verdict on many measurements."""
    if not every:
        return "There is no measurement yet."
    words = f"{len(every) - ill - failed} of {len(every)} measurements are healthy"
    words += (f", {ill} flagged" if ill else "") + (f", {failed} without a number" if failed else "") + "."
    scored = [row for row in every if not row.failed and math.isfinite(row.rel_error)]
    if scored:
        median = wording.percent(statistics.median(abs(row.rel_error) for row in scored))
        held = sum(row.low <= row.known <= row.high for row in scored)
        words += f" Median |relative error| {median}; {held} of {len(scored)} intervals hold the known value."
    return words


def table(every: Sequence[Row]) -> dict[str, Any]:
    """Heads and lines of the table of measurements; a column that is the same in all rows, or empty, is left out."""
    scale = spread(every)
    lines = [line(row, scale) for row in every]
    heads = list(lines[0]) if lines else []
    alive = [cells for row, cells in zip(every, lines, strict=True) if not row.failed]
    told = [head for head in heads if head in ALWAYS or len({cells[head].text for cells in alive}) > 1]
    if any(cells[PICTURE].bar for cells in lines):
        told.insert(told.index("error"), PICTURE)
    body = [([cells[head] for head in told], health_of(row)) for row, cells in zip(every, lines, strict=True)]
    names = [f"interval, \u00b1{100 * scale:g} % of known" if head == PICTURE else head for head in told]
    return {"heads": names, "lines": body}


def line(row: Row, scale: float) -> dict[str, Cell]:
    """All cells of a row, by the head of their column."""
    words = ", ".join(map(flags.short, row.flags)) or ("healthy" if row.healthy else "unhealthy")
    estimate, _, interval = wording.interval(row.llc, row.low, row.high).partition(" ")
    error_at, gradients, seconds = (
        rows.number(row.raw.get(key, "")) for key in ("rel_error_at", "gradients", "seconds")
    )
    numbers = {"\u03b3": row.gamma, "R\u0302": row.rhat, "ESS": row.ess}
    return {
        "point": text(row.point),
        "sampler": text(row.sampler),
        "health": text(words),
        "\u03bb\u0302": Cell(estimate, order(row.llc), True),
        "95 % interval": Cell("\u2013" if row.failed else interval, order(row.high - row.low), True),
        "known": Cell(wording.number(row.known), order(row.known), True),
        PICTURE: Cell("", order(row.rel_error), False, bar(row, scale)),
        "error": Cell(wording.percent(row.rel_error, signed=True), order(abs(row.rel_error)), True),
        "error at n\u03b2": Cell(wording.percent(error_at, signed=True), order(abs(error_at)), True),
        "where": text(row.where),
        "target": text(row.target),
        "n\u03b2": Cell(wording.number(row.nbeta), order(row.nbeta), True),
        **{head: Cell(wording.three(value), order(value), True) for head, value in numbers.items()},
        "gradients": Cell(wording.number(gradients), order(gradients), True),
        "seconds": Cell(wording.three(seconds), order(seconds), True),
    }


def text(words: str) -> Cell:
    return Cell(words, words, False)


def order(value: float) -> float | str:
    """What a column is sorted by; unknown values last."""
    return "" if math.isnan(value) else value


def health_of(row: Row) -> str:
    """The class of a line: ok, flagged or failed."""
    return "failed" if row.failed else "ok" if row.healthy else "flagged"


def spread(every: Sequence[Row]) -> float:
    """The narrowest scale on which half of the intervals find room; the others are cut."""
    ends = [max(abs(row.low / row.known - 1), abs(row.high / row.known - 1)) for row in every if row.known > 0]
    known = sorted(end for end in ends if math.isfinite(end))
    if not known:
        return SCALES[2]
    wanted = known[math.ceil(0.5 * len(known)) - 1]
    return next((scale for scale in SCALES if scale >= wanted), SCALES[-1])


def bar(row: Row, scale: float) -> Bar | None:
    """The interval relative to the known value; None where one of them is unknown."""
    if row.failed or not row.known > 0:
        return None
    places = [50 + 50 * (value / row.known - 1) / scale for value in (row.low, row.llc, row.high)]
    outside = "left" if places[1] < 0 else "right" if places[1] > 100 else ""
    low, mid, high = (min(max(place, 0.0), 100.0) for place in places)
    return Bar(low, mid, high, outside)


def health(every: Sequence[Row]) -> list[dict[str, Any]]:
    """Every flag that was raised: what it means, what to do, and for which measurements."""
    raised: dict[str, list[str]] = {}
    for row in every:
        for flag in row.flags:
            name = flags.name(flag)
            detail = flag[len(name) :].lstrip(": ")
            raised.setdefault(name, []).append(wording.label(row, every) + (f": {detail}" if detail else ""))
    return [{"name": name, "meaning": flags.FLAGS.get(name), "where": where} for name, where in raised.items()]


def pictures(path: Path) -> list[dict[str, Any]]:
    """Every PNG of the folder, inlined: the known ones in reading order, then the others by name."""
    found = {file.name: file.read_bytes() for file in sorted(path.glob("*.png"))}
    names = [name for name in CAPTIONS if name in found] + [name for name in found if name not in CAPTIONS]
    return [
        {
            "name": name,
            "caption": CAPTIONS.get(name, ""),
            "width": int.from_bytes(found[name][16:20], "big") * 2 // 3,  # 150 dots an inch shown at 100 CSS pixels
            "data": base64.b64encode(found[name]).decode(),
        }
        for name in names
    ]


def plans(target: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """(point, sampler, what calibration chose and what it predicts), as target_info.json has them."""
    notes = [(point, key, value) for point, facts in target.get("points", {}).items() for key, value in facts.items()]
    prefix = "plan of "
    return [(point, key.removeprefix(prefix), value) for point, key, value in notes if key.startswith(prefix)]


def stages(info: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(stage, seconds, gradient evaluations) of run_info.json."""
    spent = info.get("stages", {})
    return [
        (name, wording.three(float(account.get("seconds", math.nan))), f"{account.get('gradients', 0):,}")
        for name, account in spent.items()
    ]


def costs(every: Sequence[Row]) -> list[tuple[str, int, str, str]]:
    """(sampler, measurements, seconds of sampling, gradients a chain), summed over the measurements with a number."""
    found = []
    for sampler in dict.fromkeys(row.sampler for row in every if not row.failed):
        mine = [row.raw for row in every if row.sampler == sampler and not row.failed]
        seconds, gradients = (sum(float(raw.get(key) or 0) for raw in mine) for key in ("seconds", "gradients"))
        found.append((sampler, len(mine), wording.three(seconds), f"{gradients:,.0f}"))
    return found


def git(state: Mapping[str, Any]) -> str:
    """The commit in words."""
    if not state.get("commit"):
        return "not recorded: llcx ran outside a git repository"
    return f"{state['commit']}{', with uncommitted changes' if state.get('dirty') else ', clean'}"


def pairs(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested settings as `task.data.n`, `1000`."""
    return [(".".join(key), "null" if value is None else str(value)) for key, value in flat(content).items() if key]


def main(arguments: list[str]) -> None:
    """Exits with one line on standard error where DIR is not a run folder."""
    if len(arguments) != 1:
        raise SystemExit("error: give one run folder: python -m llcx.report DIR")
    try:
        log.info("%s", write(artifacts.load(arguments[0])))
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main(sys.argv[1:])
