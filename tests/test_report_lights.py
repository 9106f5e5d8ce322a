"""Traffic lights: what each health check says of a row, whether it was raised, passed or not run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llcx import artifacts
from llcx.artifacts.files import cell
from llcx.diagnostics import LIMITS
from llcx.figures import flags, rows
from llcx.report.checks import CHECKS, OFF
from llcx.report.lights import COLOURS, Light, counted, lights
from tests.figures.run_folder import Net, row, study, write

HEALTHY = Net("a", 3.0)
QUICK = {"gamma_slope": "0.001", "decrement": "0.0001", "llc_quarter": "2.9", "draws": "120", "warmup": "60"}
ROWS = {"backend": "vmap", "n": "1000", "nbeta": "144.8", "loss_at": "0.5", "llc_quarter": "", "examples": "0"}


def lit(
    cells: dict[str, str] | None = None, net: Net = HEALTHY, sampler: dict[str, Any] | None = None
) -> dict[str, Light]:
    """The lights of one measurement, whose row has these cells besides."""
    raw = {key: cell(value) for key, value in row(0, net, "dln").items()}
    found = rows.parse({**raw, **({} if net.failed else QUICK), **(cells or {})})
    return {light.flag: light for light in lights([found], {"sampler": sampler or {"name": net.sampler}})}


def colours(found: dict[str, Light], *names: str) -> list[str]:
    return [found[name].colour for name in names]


def test_every_flag_has_a_light_and_every_light_a_flag() -> None:
    assert set(CHECKS) == set(flags.FLAGS)
    assert set(flags.NOTED) | flags.GRAVE <= set(flags.FLAGS)


@pytest.mark.parametrize("flag", CHECKS)
def test_a_check_says_one_sentence_where_it_was_passed(flag: str) -> None:
    check = CHECKS[flag]
    assert re.fullmatch(r"[A-Znw][^.]*(\d\.\d[^.]*)*\.", check.passed)
    assert 0 < len(check.name) <= 24


def limits() -> Iterator[tuple[str, float]]:
    """(what a check says, the number that must stand in it)."""
    for flag, limit in (
        ("rhat", LIMITS.rhat),
        ("imprecise", 100 * LIMITS.imprecise),
        ("not_a_minimum", 100 * LIMITS.decrement),
        ("too_few_draws", LIMITS.ess),
        ("discretisation", 100 * 1.5 * LIMITS.bias),
        ("minibatch_noise", 100 * 1.5 * LIMITS.bias),
    ):
        yield CHECKS[flag].passed, limit


def test_the_limits_that_sentences_name_are_those_of_the_checks() -> None:
    for sentence, limit in limits():
        assert f"{limit:g}" in re.findall(r"\d+(?:\.\d+)?", sentence)


def test_a_healthy_row_is_green_where_a_check_was_run_and_grey_elsewhere() -> None:
    found = lit()
    assert set(found) == set(CHECKS)
    ran = ("rhat", "drift", "acceptance", "fluctuation_low", "not_a_minimum", "moved_with_temperature", "failed")
    assert colours(found, *ran) == ["green"] * len(ran)
    left = ("moved_with_budget", "second_sampler_disagrees", "polished_away", "no_plateau", "discretisation")
    assert colours(found, *left) == ["grey"] * len(left)
    assert found["moved_with_budget"].sentence.startswith("Not asked for: estimator.check=full")
    assert counted(list(found.values()))["red"] == 0


def test_without_checks_those_beside_the_run_are_grey() -> None:
    found = lit(dict.fromkeys(("gamma_slope", "decrement", "llc_quarter"), ""))
    for name in ("not_a_minimum", "moved_with_temperature", "baseline", "gamma_decides", "unchecked"):
        assert (found[name].colour, found[name].sentence) == ("grey", OFF)
    assert found["rhat"].colour == "green"


def test_raised_flags_are_red_where_they_are_grave_and_amber_elsewhere() -> None:
    found = lit({"llc_second": "4.5"}, Net("a", 3.0, flags="rhat;second_sampler_disagrees;strange"))
    assert colours(found, "rhat", "second_sampler_disagrees", "strange") == ["amber", "red", "amber"]
    assert next(iter(found)) == "second_sampler_disagrees"
    assert found["rhat"].sentence == flags.FLAGS["rhat"].sentence
    assert found["rhat"].cure == flags.FLAGS["rhat"].cure
    assert found["rhat"].number == "R\u0302 1.52"
    assert found["second_sampler_disagrees"].number == "there 4.5"


def test_what_is_read_off_the_numbers_is_told_though_no_flag_was_raised() -> None:
    assert lit({"gamma_slope": "0.5"})["gamma_decides"].colour == "amber"
    assert lit(net=Net("a", -3.0))["negative"].colour == "red"
    found = lit({**ROWS, "llc_fluct": "0.4", "nbeta": "900"})
    assert colours(found, "no_plateau", "noise_fit", "fluctuation_low") == ["amber", "amber", "grey"]
    assert found["no_plateau"].sentence.startswith("No fault")


def test_on_data_the_checks_of_data_are_run_and_those_of_exact_losses_are_not() -> None:
    found = lit({**ROWS, "llc_fluct": "2.8"})
    assert colours(found, "no_plateau", "noise_fit", "no_finite_minimum") == ["green"] * 3
    assert colours(found, "moved_with_temperature", "rounding") == ["grey"] * 2
    self_target = lit({**ROWS, "target": "self", "decrement": ""})
    assert colours(self_target, "no_finite_minimum", "not_a_minimum") == ["grey"] * 2


@pytest.mark.parametrize(
    ("sampler", "cells", "light"),
    [
        ({"name": "sgld", "step_size": 1e-4, "batch_size": 500}, {"accept": ""}, ["green", "green", "grey"]),
        ({"name": "sgld", "step_size": 1e-4, "batch_size": None}, {"accept": ""}, ["green", "grey", "grey"]),
        ({"name": "hmc"}, {}, ["grey", "grey", "green"]),
        ({"name": "auto"}, {"accept": ""}, ["green", "green", "grey"]),  # chose minibatches
        ({"name": "of_a_plugin"}, {}, ["grey", "grey", "green"]),
        ({"name": "sgld", "step_size": -1.0}, {}, ["grey", "grey", "green"]),  # settings that this version refuses
    ],
)
def test_the_biases_of_a_kernel_are_checked_where_it_has_some(
    sampler: dict[str, Any], cells: dict[str, str], light: list[str]
) -> None:
    found = lit({**ROWS, "examples": "9", "accept": "0.8", **cells}, Net("a", 3.0, sampler["name"]), sampler)
    assert colours(found, "discretisation", "minibatch_noise", "acceptance") == light


@pytest.mark.parametrize(
    ("flag", "cells"),
    [
        ("second_sampler_disagrees", {"llc_second": "3.0"}),
        ("moved_with_budget", {"llc_longer": "3.0"}),
        ("subset_gap", {"subset_rows": "500"}),
        ("polished_away", {"polish_moved": "0.02"}),
        ("step_decides", {"planned": "3.1", "accept": ""}),
    ],
)
def test_a_row_has_the_number_of_a_check_that_was_run(flag: str, cells: dict[str, str]) -> None:
    assert lit()[flag].colour == "grey"
    assert lit(cells)[flag].colour == "green"


def test_a_spent_budget_says_why_nothing_was_compared() -> None:
    found = lit({"stopped_by": "budget", "llc_quarter": ""}, Net("a", 3.0, flags="budget"))
    assert found["budget"].colour == "amber"
    for name in ("moved_with_temperature", "second_sampler_disagrees", "moved_with_budget"):
        assert found[name].sentence == "Left out: estimator.budget was spent."


def test_over_many_rows_the_worst_colour_leads_and_all_are_counted(tmp_path: Path) -> None:
    every = rows.read(artifacts.load(write(tmp_path, study(24))))
    found = {light.flag: light for light in lights(every, {})}
    assert found["rhat"].counts == {"amber": 1, "green": 46, "grey": 1}
    assert found["rhat"].number == "R\u0302 1.02 to 1.52"
    assert found["rhat"].where == ["net=5 \u00b7 auto"]
    assert found["failed"].counts == {"red": 1, "green": 47}
    order = [list(COLOURS).index(light.colour) for light in found.values()]
    assert order == sorted(order)


def test_a_row_without_a_number_has_nothing_to_check() -> None:
    found = lit(net=Net("a", 3.0, failed="NaN in chain 2"))
    assert {name for name, light in found.items() if light.colour != "grey"} == {"failed"}
    assert found["failed"].where == ["a \u00b7 auto: NaN in chain 2"]


def test_there_are_no_lights_where_nothing_was_measured() -> None:
    assert lights([], {}) == []


def test_the_documentation_names_the_flags_that_are_red() -> None:
    page = (Path(__file__).parents[1] / "docs" / "health.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith("| red |"))
    assert set(re.findall(r"`(\w+)`", line)) == flags.GRAVE
