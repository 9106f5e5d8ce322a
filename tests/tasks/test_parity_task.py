"""task=parity as a task: its arms, points and data, and what it leaves under analysis/."""

from dataclasses import replace
from itertools import pairwise
from math import log2
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from llcx import gradients, rng
from llcx.tasks.parity import data, machines, tables, together
from llcx.tasks.parity.kernels import Blocks, Layerwise, blocks
from llcx.tasks.parity.schema import Checkpoints, Fit, Flow, Grid, Kernel, Network, Parity, Search, Stop, Strings
from llcx.tasks.parity.task import ParityTask, moments
from llcx.types import Point, Snapshots, State, Task
from tests.tasks.parity_runs import snapshots

SMALL = Parity(
    Network(h=12),
    Strings(d=6, k=2, n_train=20, n_test=30),
    fit=Fit(flow=Flow(tau_over_h=0, max_dgrad=1e-2), stop=Stop(max_steps=150), checkpoints=Checkpoints(rate=1.0)),
    grid=Grid(alpha=[1.0, 1000.0]),
    seeds=2,
)


def task(cfg: Parity = SMALL) -> ParityTask:
    return ParityTask(cfg, rng.streams(3))


def trained(made: Task) -> Snapshots:
    """Everything that its trainings leave."""
    left = {each.name: snapshots(list(each.steps(each.start()))) for each in made.trainings()}

    def snapshot(training: str, role: str) -> State | None:
        return left[training].get(role)

    return snapshot


def rows(point: Point) -> tuple[Tensor, Tensor]:
    """x and labels that the learning coefficient is measured on."""
    x, y = cast(tuple[Tensor, Tensor], point.data.train)
    return x, y


@pytest.fixture(scope="module")
def left() -> Snapshots:
    return trained(
        task(replace(SMALL, kernel=Kernel(["init", "final", "delta"]), data=replace(SMALL.data, fixed=True)))
    )


def test_members_of_a_width_are_one_training_and_widths_are_several() -> None:
    assert [each.name for each in task().trainings()] == ["parity"]
    cfg = replace(SMALL, grid=Grid(alpha=[1.0, 1000.0], h=[6, 12], bias_column=[False, True]))
    assert [each.name for each in task(cfg).trainings()] == [
        f"parity,h={h},bias_column={column}" for h in (6, 12) for column in (False, True)
    ]
    names = [spec.name for spec in task(cfg).points()]
    assert len(names) == len(set(names)) == 4 * 4 * len(moments(cfg))


def test_a_moment_that_may_not_come_is_not_certain() -> None:
    sure = {
        spec.coords["moment"]: spec.certain for spec in task(replace(SMALL, moments=["init", "t1", "final"])).points()
    }
    assert sure == {"init": True, "t1": False, "final": True}


def test_the_margin_is_asked_once_where_the_training_ends_there() -> None:
    assert "margin" not in moments(SMALL)
    later = replace(SMALL, fit=replace(SMALL.fit, stop=Stop(margin=None)))
    assert "margin" in moments(later)
    assert "margin" in moments(replace(SMALL, moments=["init", "margin"]))


def test_a_point_is_the_network_of_its_snapshot_against_labels_zero_and_one(left: Snapshots) -> None:
    made = task(replace(SMALL, data=replace(SMALL.data, fixed=True)))
    spec = next(each for each in made.points() if each.name == "parity,seed=4,alpha=1000,final")
    snapshot = left("parity", spec.role)
    point = made.point(spec, snapshot)
    strings, net = data.draw(SMALL.data, rng.streams(3)), together.network(SMALL)
    w0, x = net.initial(rng.streams(4).generator("weights"))[None], strings.x_train
    assert snapshot is not None
    F = 1000 * (net.outputs(torch.as_tensor(snapshot["w"])[None], x) - net.outputs(w0, x))[0]
    found = point.model.module(rows(point)[0])
    assert torch.allclose(found, F, rtol=1e-9)
    assert torch.equal(rows(point)[1], (strings.y_train + 1) / 2)
    nll = point.model.nll(found, point.data.train)
    assert torch.allclose(nll, -(F * strings.y_train).sigmoid().log())


def test_the_lazy_networks_curvature_is_its_kernels(left: Snapshots) -> None:
    """At the start p = 1/2, so that the self target's Hessian is alpha^2 / 4 J^T J / n: n half its trace is Theta's."""
    made = task(replace(SMALL, data=replace(SMALL.data, fixed=True)))
    spec = next(each for each in made.points() if each.name == "parity,seed=3,alpha=1,init")
    point = made.point(spec, left("parity", spec.role))
    potential = gradients.of_model(point.model, point.data, target="self", dtype=torch.float64)[0]
    x = rows(point)[0]
    theta = blocks(Layerwise(together.network(SMALL)), potential.at[None], x, x[:0])
    expected = float(theta.trtr[0].trace()) / 4 / 20
    step, moved = 1e-4, torch.eye(len(potential.at), dtype=torch.float64)
    k = torch.cat([potential.value(part) for part in (potential.at + step * moved).split(16)])
    assert float(2 * k.sum() / step**2) == pytest.approx(expected, rel=1e-3)


def test_a_population_is_every_string_once_with_clean_labels() -> None:
    cfg = replace(SMALL, data=Strings(d=6, k=2, n_train=20, n_test=30, mode="population", label_noise=0.3))
    made = task(cfg)
    spec = made.points()[0]
    event = next(iter(made.trainings()[0].steps(made.trainings()[0].start())))
    found = made.point(spec, event.snapshots[spec.role])
    x, y = rows(found)
    assert (len(x), found.data.mode) == (64, "population")
    assert len({tuple(bits) for bits in x.tolist()}) == 2**6
    assert torch.equal(2 * y - 1, x[:, :2].prod(1))


def test_fixed_strings_are_shared_by_seeds_and_weights_are_not() -> None:
    for fixed in (False, True):
        (group,) = task(replace(SMALL, data=replace(SMALL.data, fixed=fixed))).groups
        whole = together.ensemble(group.cfg, group.arms)
        assert torch.equal(whole.data.x_train[0], whole.data.x_train[2]) == fixed
        assert not torch.equal(whole.w0[0], whole.w0[2])
        assert torch.equal(whole.w0[0], whole.w0[1])


def analysed(left: Snapshots, **more: Any) -> dict[str, list[dict[str, Any]]]:
    cfg = replace(SMALL, kernel=Kernel(["init", "final", "delta"]), data=replace(SMALL.data, fixed=True), **more)
    return dict(task(cfg).analyse([], left).tables)


def test_tables_have_a_row_for_each_member_and_moment(left: Snapshots) -> None:
    found = analysed(left)["moments"]
    assert [row["moment"] for row in found if row["member"] == "seed=3,alpha=1"][:1] == ["init"]
    for row in found:
        if row["moment"] == "init":
            assert (row["t"], row["kernel_change"], row["train_dnorm"]) == (0, 0, 0)
        if row["moment"] == "final":
            assert row["stopped"] in ("margin", "max_steps")
            assert row["kernel_change"] > 0


def test_slopes_are_between_successive_alphas_of_a_start() -> None:
    rows = [
        {"training": "a", "seed": 0, "h": 1, "moment": moment, "alpha": a, "t1": 8 / a, "kernel_change": a**power}
        for a in (4.0, 1.0, 2.0)
        for moment, power in (("init", 3.0), ("t1", -0.5), ("final", -2.0))
    ]
    found = tables.slopes(rows)
    assert [(row["alpha_low"], row["alpha_high"]) for row in found] == [(1, 2), (2, 4)]
    assert [row["slope_t1"] for row in found] == pytest.approx([-1, -1])
    assert [row["slope_kernel_change_t1"] for row in found] == pytest.approx([-0.5, -0.5])
    assert [row["slope_kernel_change_final"] for row in found] == pytest.approx([-2, -2])
    missing = tables.slopes([{**row, "t1": float("nan")} for row in rows if row["moment"] == "final"])
    assert [row["slope_t1"] for row in missing] == [None, None]


def test_gamma_is_held_along_a_training(left: Snapshots) -> None:
    made = task(replace(SMALL, data=replace(SMALL.data, fixed=True)))
    specs = [each for each in made.points() if each.name.startswith("parity,seed=3,alpha=1,")]
    points = [made.point(each, snapshot) for each in specs if (snapshot := left("parity", each.role)) is not None]
    assert len(points) >= 2
    assert len({point.wishes["gamma"] for point in points}) == 1


def test_kernels_of_one_start_are_taken_once_and_learn_at_each_alpha(left: Snapshots) -> None:
    found = analysed(left)["kernels"]
    of_init = [row for row in found if row["kernel"] == "init"]
    assert len(of_init) == 4
    assert len({row["norm"] for row in of_init}) == 2
    slow, fast = (next(row for row in of_init if (row["seed"], row["alpha"]) == (3, a)) for a in (1.0, 1000.0))
    assert slow["machine_t1"] / fast["machine_t1"] == pytest.approx(1000, rel=0.05)
    assert all("machine_t1" not in row for row in found if row["kernel"] == "delta")


def test_a_kernel_with_full_rank_interpolates_and_predicts_what_it_holds() -> None:
    y, y_test = torch.tensor([[1.0, -1, 1]]).double(), torch.tensor([[1.0, -1]]).double()
    strings = data.Strings(torch.zeros(1, 3, 1), y, torch.zeros(1, 2, 1), y_test, torch.zeros(1, 1).long())
    tetr = torch.tensor([[[1.0, 0, 0], [1.0, 0, 0.5]]]).double()
    found = machines.interpolated(Blocks(torch.eye(3).double()[None], tetr, torch.zeros(1, 0, 0)), strings)
    assert float(found["interpolation_train_err"]) == 0
    assert float(found["interpolation_test_err"]) == 0.5


def test_the_mean_of_several_starts_is_in_the_table_of_ensembles(left: Snapshots) -> None:
    found = analysed(left)["ensembles"]
    assert [(row["alpha"], row["seeds"]) for row in found] == [(1.0, 2), (1000.0, 2)]
    assert all(row["variance"] > 0 for row in found)


def test_alpha_star_is_where_the_kernel_changes_by_what_was_asked() -> None:
    fit = replace(SMALL.fit, stop=Stop(margin=None, aloss=0.5, max_steps=400))
    cfg = replace(SMALL, grid=Grid(), moments=[], fit=fit, search=Search(change=0.1, low=0.1, high=100, rounds=5))
    made = task(cfg)
    left = trained(made)
    (row,) = made.analyse([], left).tables["alpha_star"]
    assert log2(row["high"] / row["low"]) == pytest.approx(log2(1000) / 2**5)
    again = replace(cfg, search=Search(), grid=Grid(alpha=[row["low"], row["high"]]))
    ends = [
        each for each in task(again).analyse([], trained(task(again))).tables["moments"] if each["moment"] == "final"
    ]
    of_alpha = {
        a: [log2(each["kernel_change"]) for each in ends if each["alpha"] == a] for a in (row["low"], row["high"])
    }
    low, high = (2 ** (sum(values) / len(values)) for values in of_alpha.values())
    assert high < 0.1 < low


def test_a_search_whose_ends_do_not_hold_alpha_star_is_refused() -> None:
    fit = replace(SMALL.fit, stop=Stop(margin=None, aloss=0.5, max_steps=400))
    cfg = replace(SMALL, grid=Grid(), moments=[], fit=fit, seeds=1, search=Search(change=0.1, low=50, high=100))
    (training,) = task(cfg).trainings()
    with pytest.raises(ValueError, match=r"lower task\.search\.low"):
        list(training.steps(training.start()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"moments": ["t2"]}, r"task\.moments must be one of"),
        ({"search": Search(change=0.1)}, r"task\.grid\.alpha and task\.moments must be empty"),
        ({"grid": Grid(alpha=[1.0, 1.0])}, r"task\.grid\.alpha must hold different values"),
    ],
)
def test_settings_that_nothing_can_have_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        task(replace(SMALL, **change))


def test_a_population_of_too_many_strings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task\.data\.d must be <= 16 with mode=population, got 30"):
        Strings(d=30, mode="population")


def test_neurons_are_told_apart_where_nothing_is_subtracted() -> None:
    cfg = replace(SMALL, model=Network(h=12, subtract=False), seeds=1, grid=Grid(alpha=[1.0]))
    made = task(cfg)
    found = made.analyse([], trained(made)).tables
    at_end = [row for row in found["neurons"] if row["moment"] == "final"]
    assert [row["neuron"] for row in at_end] == list(range(1, 13))
    assert all(a["norm"] >= b["norm"] for a, b in pairwise(at_end))
    assert {row["moment"] for row in found["sparsity"]} >= {"init", "final"}
    assert all(1 <= row["neurons_needed"] <= 12 and 0 <= row["accuracy"] <= 1 for row in found["sparsity"])


def test_networks_with_their_start_subtracted_have_no_neurons_of_their_own(left: Snapshots) -> None:
    assert analysed(left).keys().isdisjoint({"neurons", "sparsity"})
