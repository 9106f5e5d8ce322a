"""H1 to H4 on studies whose effects are known: there, absent, reversed, and studies that could not have told."""

from dataclasses import fields, replace
from typing import Any

import pytest

from llcx import rng
from llcx.tasks.mcl import hypotheses, sharing_claim
from llcx.tasks.mcl.contrasts import Evidence, Judge
from llcx.tasks.mcl.verdicts import Hypothesis, Part, Registered
from tests.tasks.mcl_evidence import COMPOSITIONS, World, evidence, world

CFG = Registered(resamples=1000)
ALL = world(
    iou={"full": 0.1},
    adapts={"full": 0.3},
    trains={"full": 0.4},
    alike={"full": 0.2},
    probe={"full": 0.1},
    units={"full": 1.0, "b1": 0.0},
    used={"full": 0.3},
)
NONE = world()
REVERSED = world(
    iou={"full": -0.1},
    adapts={"full": -0.5},
    trains={"full": -0.5},
    alike={"full": -0.2},
    probe={"full": -0.1},
    units={"full": 0.0, "b1": 1.0},
    used={"full": -0.09},
)
STUDY = evidence(ALL, seeds=3)
LONGER = [row for row in STUDY.zero_shot if row["split"] == "test_len3" and row["arm"] != "b1"]


NEEDS = {"h1": ("zero_shot", "course"), "h2": ("few_shot", "adaptation"), "h3": ("course",)}
NEEDS["h4"] = ("geometry", "probes", "sparse", "causal")


def judged(of: World | Evidence, cfg: Registered = CFG, **settings: Any) -> dict[str, Hypothesis]:
    given = of if isinstance(of, Evidence) else evidence(of, **settings)
    return {each.name: each for each in hypotheses.judged(given, cfg, rng.streams(0))}


def one(name: str, of: World | Evidence, cfg: Registered = CFG, **settings: Any) -> Hypothesis:
    """One of h1 .. h4, from its own tables."""
    given = of if isinstance(of, Evidence) else evidence(of, *NEEDS[name], **settings)
    ask = sharing_claim.h4 if name == "h4" else getattr(hypotheses, name)
    found: Hypothesis = ask(given, Judge(cfg, rng.streams(0), given.runs))
    return found


def told(found: dict[str, Hypothesis]) -> list[str]:
    return [each.verdict for each in found.values()]


def parts(hypothesis: Hypothesis, role: str) -> list[Part]:
    return [part for part in hypothesis.parts if part.role == role]


def test_effects_that_are_there_are_supported() -> None:
    found = judged(ALL)
    assert list(found) == ["H1", "H2", "H3", "H4"]
    assert told(found) == 4 * ["SUPPORTED"]
    assert [len(each.primary()) for each in found.values()] == [2, 2, 2, 6]
    for part in found["H1"].primary():
        assert part.effect.mean == pytest.approx(0.1, abs=0.03)
        assert part.effect.low <= 0.1 <= part.effect.high
    for part in found["H3"].primary():
        assert part.effect.mean == pytest.approx(Registered(saved=0.4).log_saved, abs=0.12)
    assert parts(found["H1"], "attribution")[0].control == "b1"
    assert sharing_claim.ALONE not in found["H4"].notes


def test_effects_that_are_not_there_are_not_supported() -> None:
    assert not {"SUPPORTED", "REVERSED", "SPLIT"} & set(told(judged(NONE)))
    for name in ("h1", "h2", "h3"):
        assert one(name, replace(NONE, noise=0.002), seeds=8).verdict == "REJECTED"


def test_effects_the_other_way_are_reversed() -> None:
    found = judged(REVERSED)
    assert [found[name].verdict for name in ("H1", "H2", "H3")] == 3 * ["REVERSED"]
    assert found["H4"].verdict in ("REVERSED", "REJECTED")


def test_two_seeds_are_mostly_inconclusive_and_one_always() -> None:
    small = world(iou={"full": 0.04})
    assert one("h1", small, seeds=2).verdict == "INCONCLUSIVE"
    assert one("h1", small, seeds=8).verdict == "SUPPORTED"
    assert one("h1", ALL, seeds=1).verdict == "INCONCLUSIVE"


SHUT: list[tuple[str, str, dict[str, Any]]] = [
    ("undertrained: val_id IoU 0.590", "b0", {"val_iou": 0.59}),
    ("undertrained: 0.200 above", "full", {"copy_iou": 0.6}),
    ("undertrained: val_id IoU nan", "full", {"val_iou": ""}),
    ("fewer than 2 groups", "full", {"groups_min": 1}),
    ("no gradient on h", "full", {"gradient_min": 0.0}),
    ("no gradient on h", "full", {"gradient_min": float("nan")}),
    ("no weight on it", "full", {"shares": 0}),
    ("collapsed: effective rank is 0.4", "full", {"erank": 9.0}),
    ("leakage", "b0", {"overlap": 3}),
    ("leakage", "b0", {"overlap": ""}),
]


def test_a_gate_that_is_shut_is_no_test() -> None:
    for reason, arm, change in SHUT:
        runs = [row | (change if row["arm"] == arm else {}) for row in STUDY.runs]
        found = one("h1", Evidence(runs=runs, zero_shot=LONGER))
        assert found.verdict == "NOT TESTED", reason
        assert any(note.startswith(f"{arm}: ") and reason in note for note in found.notes), reason
        assert found.primary()[0].effect.mean > 0.05  # told all the same


def test_a_gate_is_shut_for_all() -> None:
    found = judged(replace(STUDY, runs=[row | {"val_iou": 0.5} for row in STUDY.runs]))
    assert told(found) == 4 * ["NOT TESTED"]
    assert {part.verdict for each in found.values() for part in each.parts} == {"NOT TESTED"}


def test_a_table_that_is_missing_is_no_test_of_what_needs_it() -> None:
    need = {"zero_shot": ["h1"], "few_shot": ["h2"], "adaptation": ["h2"], "course": ["h3"], "runs": ["h1", "h3"]}
    for table in (each.name for each in fields(Evidence)):
        for name in need.get(table, ["h4"]):
            either = table in ("probes", "sparse")  # one of the two is enough
            found = one(name, replace(STUDY, **{table: []}))
            assert found.verdict == ("SUPPORTED" if either else "NOT TESTED"), table


def test_what_nobody_comes_to_is_no_test() -> None:
    slow = [row | {"iou": min(row["iou"], 0.35)} for row in STUDY.adaptation]
    found = one("h2", replace(STUDY, adaptation=slow))
    assert found.verdict == "NOT TESTED"
    assert any("censored: 100% never came to the level" in note for note in found.notes)


def test_areas_are_over_the_same_numbers_of_examples() -> None:
    """An arm that lacks the many examples of a composition is not worse there for it."""
    study = evidence(NONE, *NEEDS["h2"], seeds=3)
    lost = [row for row in study.few_shot if (row["arm"], row["composition"], row["n"]) != ("b0", "c00", 20)]
    part = one("h2", replace(study, few_shot=lost)).parts[0]
    assert part.name == "area, lora, cue opaque"
    assert part.effect.units == 2 * 3
    assert abs(part.effect.mean) < 0.02


def test_fewer_steps_of_more_seconds_are_split() -> None:
    found = one("h3", replace(ALL, dearer={"full": 1.5}))
    assert [part.verdict for part in found.primary()] == ["SUPPORTED", "REVERSED"]
    assert found.verdict == "SPLIT"


def test_geometry_alone_is_not_sharing() -> None:
    only = one("h4", world(alike={"full": 0.2}, units={"full": 0.3, "b1": 0.3}))
    assert only.verdict != "SUPPORTED"
    assert "a: SUPPORTED" in only.notes and sharing_claim.ALONE in only.notes


def test_either_probes_or_units_will_do_and_use_is_needed() -> None:
    assert one("h4", replace(ALL, units={"full": 0.3, "b1": 0.3})).verdict == "SUPPORTED"
    assert one("h4", replace(ALL, probe={})).verdict == "SUPPORTED"
    idle = one("h4", replace(ALL, used={"full": -0.05}))
    assert idle.verdict == "REJECTED" and "d: REVERSED" in idle.notes
    random = next(part for part in idle.primary() if part.control == "random")
    assert random.note.startswith("ratio 0.")


def test_geometry_of_a_rank_that_was_lost_does_not_count() -> None:
    study = evidence(ALL, *NEEDS["h4"], "zero_shot", seeds=3)
    lower = [row | ({"erank": 15.5} if row["arm"] == "full" else {}) for row in study.runs]
    study = replace(study, runs=lower)
    found = one("h4", study)
    assert found.verdict == "NOT TESTED"
    assert any("effective rank is 0.7" in note for note in found.notes)
    assert one("h1", study).verdict == "SUPPORTED"


def test_regularised_layers_and_trained_tasks_decide_nothing() -> None:
    """A sharing loss that moves what it acts on, and nothing else, shows nothing."""
    study = evidence(NONE, *NEEDS["h4"])
    circular = [
        row | ({"cka": 0.9, "grassmann": 0.1} if row["arm"] == "full" and row["layer"] in ("h", "z") else {})
        for row in study.geometry
    ]
    found = one("h4", replace(study, geometry=circular))
    assert not any(note == "a: SUPPORTED" for note in found.notes)
    assert [part.verdict for part in found.parts if part.name.endswith("unseen, h")] == 2 * ["SUPPORTED"]


def test_controls_stand_beside_the_comparison_that_decides() -> None:
    """A gain that shuffled groups have too is not the groups'; a comparison that must be found, is."""
    generic = world(iou={"full": 0.1, "shuffled": 0.1, "recurrent": 0.2})
    arms = ("b0", "b1", "full", "shuffled", "recurrent", "one_shot")
    study = evidence(generic, "zero_shot", arms=arms)
    untrained = [row | ({"val_iou": 0.1} if row["arm"] == "one_shot" else {}) for row in study.runs]
    found = one("h1", replace(study, runs=untrained))
    assert found.verdict == "SUPPORTED"
    assert {part.verdict for part in parts(found, "negative control")} == {"SUPPORTED"}
    beyond = [part for part in parts(found, "attribution") if part.control == "shuffled"]
    assert len(beyond) == 2 and {part.verdict for part in beyond} <= {"REJECTED", "INCONCLUSIVE"}
    assert {part.verdict for part in parts(found, "positive control")} == {"SUPPORTED"}  # the weaker need not learn


def test_rows_in_another_order_and_as_text_say_the_same() -> None:
    def text(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: str(value) for key, value in row.items()} for row in reversed(rows)]

    read = Evidence(**{each.name: text(getattr(STUDY, each.name)) for each in fields(Evidence)})
    before, after = judged(STUDY), judged(read)
    for name, each in before.items():
        same = {(p.name, p.treated, p.control): p for p in after[name].parts}
        assert len(same) == len(each.parts)
        for part in each.parts:
            assert same[part.name, part.treated, part.control].effect.low == pytest.approx(part.effect.low)
        assert after[name].verdict == each.verdict


def test_crossed_compositions_need_all_of_them_in_all_seeds() -> None:
    crossed = replace(CFG, resampling="crossed")
    study = evidence(ALL, "zero_shot", seeds=4)
    assert one("h1", study, crossed).verdict == "SUPPORTED"
    missing = [row for row in study.zero_shot if (row["seed"], row["composition"]) != (2, COMPOSITIONS[0])]
    with pytest.raises(ValueError, match="same compositions"):
        one("h1", replace(study, zero_shot=missing), crossed)
    assert one("h1", replace(study, zero_shot=missing)).verdict == "SUPPORTED"


@pytest.mark.slow
def test_no_effect_is_seldom_supported_and_one_at_the_edge_of_interest_often_is_not() -> None:
    """Of 60 studies of 5 seeds; an interval of 95 % is above 0 in 1 of 40 by chance."""
    none = [one("h1", NONE, start=start).verdict for start in range(60)]
    there = [one("h1", world(iou={"full": 0.06}), start=start).verdict for start in range(20)]
    assert none.count("SUPPORTED") <= 3
    assert there.count("SUPPORTED") >= 18
