"""H4: tasks share a subspace, it carries over, and the network uses it.

    a   between tasks never trained, at layers that no loss of sharing acts on, CKA is higher, and subspaces are closer,
        above the floor of their own halves and relative to chance; and h keeps its rank, which a collapse would not
    b   probes of primitives carry over better to compositions never trained
    c   more primitives have a sparse unit than without sharing, and than by chance
    d   taking the shared subspace out of h costs more than taking out a random one

The claim is a and (b or c) and d. The regulariser optimises what a measures, at another layer: a alone is geometry.
"""

from collections.abc import Sequence
from math import isfinite, nan
from statistics import median

from llcx.tasks.mcl.contrasts import Arms, Cells, Evidence, Judge, Question, Row, cells, means, where, within
from llcx.tasks.mcl.verdicts import SUPPORTED, Hypothesis, Part, all_of, any_of, chain
from llcx.tasks.summary import number

ALONE = "geometry only, no functional sharing"


def h4(evidence: Evidence, judge: Judge) -> Hypothesis:
    parts = [*_geometry(evidence, judge), *_probes(evidence, judge), *_units(evidence, judge), *_use(evidence, judge)]
    of = {
        letter: [part.verdict for part in parts if part.role == "primary" and part.name[0] == letter]
        for letter in "abcd"
    }
    told = {letter: all_of(each) for letter, each in of.items()}
    functional = any_of([told["b"], told["c"]])
    notes = [f"{letter}: {each}" for letter, each in told.items()]
    if told["a"] == SUPPORTED and SUPPORTED not in (functional, told["d"]):
        notes.append(ALONE)
    notes += dict.fromkeys(part.note for part in parts if part.role == "primary" and part.note)
    claim = "shares: one subspace for all tasks, which carries over and is used"
    return Hypothesis("H4", claim, chain([told["a"], functional, told["d"]]), tuple(parts), tuple(notes))


def _geometry(evidence: Evidence, judge: Judge) -> list[Part]:
    cfg = judge.cfg
    free = [row for row in evidence.geometry if str(row["layer"]).startswith(cfg.layers)]
    hidden = where(evidence.geometry, layer=cfg.hidden)
    unseen = where(free, split="unseen")
    asked = [(f"unseen, {cfg.layers}*", unseen, arms) for arms in (judge.main, *judge.others(unseen))]
    also = judge.main._replace(role="secondary")
    asked += [(f"train, {cfg.layers}*", where(free, split="train"), also)]
    asked += [(f"{split}, {cfg.hidden}", where(hidden, split=split), also) for split in ("unseen", "train")]
    parts = []
    for told, rows, arms in asked:
        shut = _collapsed(evidence.runs, arms, cfg.rank_ratio)
        for value, sign in (("cka", 1), ("grassmann", -1)):
            question = Question(f"a: {value}, {told}", cfg.alike)
            parts.append(judge.part(question, arms, cells(rows, value, arms, "task", sign=sign), shut=shut))
    return parts


def _probes(evidence: Evidence, judge: Judge) -> list[Part]:
    cfg = judge.cfg
    hidden = where(evidence.probes, layer=cfg.hidden)
    free = [row for row in evidence.probes if str(row["layer"]).startswith(cfg.layers)]
    asked = [(cfg.hidden, hidden, arms) for arms in (judge.main, *judge.others(hidden))]
    asked += [(f"{cfg.layers}*", free, judge.main._replace(role="secondary"))]
    return [
        judge.part(Question(f"b: probes, {told}", cfg.probe), arms, cells(rows, "auroc", arms, "primitive"))
        for told, rows, arms in asked
    ]


def _units(evidence: Evidence, judge: Judge) -> list[Part]:
    """Against the arm that has the autoencoder but does not share, and against what dealt labels find."""
    cfg, rows = judge.cfg, evidence.sparse
    aids = Arms(cfg.treated, cfg.aids, "primary")
    found = cells(rows, "significant", aids, "primitive")
    chance = within(rows, ("significant", "null"), cfg.treated, "primitive")
    named = Arms(cfg.treated, "chance", "primary")
    return [
        judge.part(Question("c: primitives with a unit", cfg.found), aids, found),
        _of_one(judge, Question("c: primitives with a unit", cfg.found), named, chance),
    ]


def _use(evidence: Evidence, judge: Judge) -> list[Part]:
    """Of the treated arm by itself; and how much more than the control's own shared subspace does."""
    cfg, parts = judge.cfg, []
    drops = _drops(evidence.causal)
    for other, role in (("random", "primary"), ("rows", "secondary"), ("total", "secondary")):
        found = within(drops, ("shared", other), cfg.treated, "composition")
        question, arms = Question("d: drop without the shared subspace", 0.0), Arms(cfg.treated, other, role)
        parts.append(_of_one(judge, question, arms, found, note=_told_ratio(found)))
    also = judge.main._replace(role="secondary")
    beyond = Question("d: drop beyond a random subspace's", 0.0)
    return [*parts, judge.part(beyond, also, cells(drops, "beyond", also, "composition"))]


def _of_one(judge: Judge, question: Question, arms: Arms, found: Cells, note: str = "") -> Part:
    """Of one arm against something that is no arm."""
    part = judge.part(question, arms, found, runs_of=[arms.treated])
    return part._replace(note=part.note or note)


def _drops(causal: Sequence[Row]) -> list[Row]:
    """A row an arm, seed and composition, with a column a kind."""
    found: dict[tuple[str, str, str], Row] = {}
    for kind in dict.fromkeys(str(row["kind"]) for row in causal):
        for (arm, seed, composition), drop in means(where(causal, kind=kind), "drop", "composition").items():
            key = (arm, seed, composition)
            found.setdefault(key, {"arm": arm, "seed": seed, "composition": composition})[kind] = drop
    return [row | {"beyond": number(row, "shared") - number(row, "random")} for row in found.values()]


def _told_ratio(found: Cells) -> str:
    """Of the mean drops; there is none where the other costs nothing."""
    both = [pair for some in found.values() for pair in some.values()]
    shared, other = (sum(each) for each in zip(*both, strict=True)) if both else (nan, nan)
    return f"ratio {shared / other:.2f}" if isfinite(shared) and other > 0 else ""


def _collapsed(runs: Sequence[Row], arms: Arms, least: float) -> list[str]:
    """Median over seeds of the effective rank of h, relative to the control's."""
    ranks = {key[:2]: value for key, value in means(runs, "erank", "arm").items()}
    ratios = [
        value / ranks[arms.control, seed]
        for (arm, seed), value in ranks.items()
        if arm == arms.treated and ranks.get((arms.control, seed), 0) > 0
    ]
    ratio = median(ratios) if ratios else nan
    return [] if ratio >= least else [f"effective rank is {ratio:.2f} of {arms.control}'s, must be >= {least}"]
