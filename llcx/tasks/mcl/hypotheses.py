"""What is claimed of the treated arm, from tables over runs (tasks.mcl.contrasts.Evidence), by the rule of verdicts.

    H1  it composes: macro IoU and exact match on compositions of length 3, none of which was trained
    H2  it adapts: area below IoU over log2 of the number of examples, and steps to a level
    H3  it trains in less: steps and seconds to a level of val_id IoU
    H4  it shares (tasks.mcl.sharing_claim)

Of H1 to H3 both parts must hold. Beside the comparison that decides stand those that explain it: what the treated arm
has beyond others, groups dealt at random, which should have no effect of their own, and two arms of which one is known
to compose, whose difference should be found.
"""

from collections.abc import Sequence

from llcx.tasks.mcl import arrivals, censoring, sharing_claim
from llcx.tasks.mcl.arrivals import Times
from llcx.tasks.mcl.contrasts import Arms, Cells, Evidence, Judge, Question, Row, cells, where
from llcx.tasks.mcl.verdicts import Hypothesis, Part, Registered, all_of
from llcx.types import Streams


def judged(evidence: Evidence, cfg: Registered, streams: Streams) -> list[Hypothesis]:
    """H1 to H4."""
    judge = Judge(cfg, streams, evidence.runs)
    return [each(evidence, judge) for each in (h1, h2, h3, sharing_claim.h4)]


def h1(evidence: Evidence, judge: Judge) -> Hypothesis:
    parts, also = [], judge.main._replace(role="secondary")
    longer, pairs = (where(evidence.zero_shot, split=split) for split in ("test_len3", "test_pair"))
    for arms in (judge.main, *judge.others(longer)):
        parts += [_zero_shot(judge, longer, value, arms) for value in ("iou", "exact")]
    parts += [_zero_shot(judge, pairs, value, also) for value in ("iou", "exact")]
    gap = Question("gap of val_ood to val_id, at one val_id", judge.cfg.score)
    parts.append(judge.part(gap, also, arrivals.matched(evidence.course, also)))
    return _told("H1", "composes: better on compositions of length 3 that were never trained", parts)


def h2(evidence: Evidence, judge: Judge) -> Hypothesis:
    parts, cfg, rows = [], judge.cfg, evidence.few_shot
    ways = dict.fromkeys([(cfg.method, cfg.cue), *((str(row["method"]), str(row["cue"])) for row in rows)])
    for place, (method, cue) in enumerate(ways):
        fits, paths = (where(table, method=method, cue=cue) for table in (rows, evidence.adaptation))
        levels = arrivals.adaptation_levels(where(rows, cue=cue), cfg.control)
        asked = [judge.main, *judge.others(fits)] if place == 0 else [judge.main._replace(role="secondary")]
        for arms in asked:
            mine, ways_there = of(fits, arms), of(paths, arms)
            told = f"{method}, cue {cue}"
            parts.append(_area(judge, f"area, {told}", mine, arms))
            steps = arrivals.adaptations(ways_there, levels)
            parts.append(_earlier(judge, f"steps, {told}", steps, arms))
            few = arrivals.examples(mine, levels)
            role = "secondary" if arms.role == "primary" else arms.role
            parts.append(_earlier(judge, f"examples, {told}", few, arms._replace(role=role)))
    return _told("H2", "adapts: fewer examples and steps for a composition that was never trained", parts)


def h3(evidence: Evidence, judge: Judge) -> Hypothesis:
    parts, level = [], arrivals.training_level(evidence.course, judge.cfg.control, judge.cfg.tau)
    for arms in (judge.main, *judge.others(evidence.course)):
        for clock in ("step", "seconds"):
            times = arrivals.trainings(of(evidence.course, arms), clock, level)
            parts.append(_earlier(judge, f"{clock} to a val_id IoU of {level:.3f}", times, arms))
    return _told("H3", "trains in less: fewer steps and fewer seconds to one level", parts)


def of(rows: Sequence[Row], arms: Arms) -> list[Row]:
    return [row for row in rows if str(row["arm"]) in (arms.treated, arms.control)]


def _zero_shot(judge: Judge, rows: Sequence[Row], value: str, arms: Arms) -> Part:
    split = str(rows[0]["split"]) if rows else "compositions never trained"
    return judge.part(Question(f"{value} on {split}", judge.cfg.score), arms, cells(rows, value, arms, "composition"))


def _area(judge: Judge, name: str, fits: Sequence[Row], arms: Arms) -> Part:
    """Of compositions that both arms were adapted to with the same numbers of examples."""
    curves = arrivals.by_number(fits)
    same = {
        key: curve
        for key, curve in curves.items()
        if all(curves.get((arm, *key[1:]), {}).keys() == curve.keys() for arm in (arms.treated, arms.control))
    }
    found: Cells = arrivals.pairs({key: censoring.area(curve) for key, curve in same.items()}, arms)
    return judge.part(Question(name, judge.cfg.score), arms, found)


def _earlier(judge: Judge, name: str, times: Times, arms: Arms) -> Part:
    """Above 0 where the treated arm takes less; too few arrivals are no test."""
    share, most = times.censored(), judge.cfg.censored
    shut = [f"censored: {share:.0%} never came to the level, at most {most:.0%}"] if share > most else []
    question = Question(name, judge.cfg.log_saved, "log_ratio")
    return judge.part(question, arms, arrivals.restricted(times, arms), shut=shut)


def _told(name: str, claim: str, parts: Sequence[Part]) -> Hypothesis:
    primary = [part for part in parts if part.role == "primary"]
    notes = dict.fromkeys(part.note for part in primary if part.note)
    return Hypothesis(name, claim, all_of([part.verdict for part in primary]), tuple(parts), tuple(notes))
