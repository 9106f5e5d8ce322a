"""full_attn_trajectory.png and full_attn_multi.png."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llcx import artifacts
from llcx.artifacts.files import read_csv
from llcx.figures import full_attn, full_attn_multi, over_time, style, trajectories
from llcx.figures.trajectories import Study
from tests.figures import attention_folder as made
from tests.figures.attention_folder import Journey
from tests.figures.look import apart, dots, hollow, notes
from tests.figures.run_folder import Net, table, write

SMALL = Journey(d=4, widths=(3, 6), seeds=2, epochs=(0, 25, 50, 75, 100))


def read(path: Path) -> Study:
    return trajectories.read(artifacts.load(path))


def rewrite(path: Path, **cells: str) -> None:
    """Change the first row of metrics_summary.csv."""
    lines = read_csv(path / "metrics_summary.csv")
    lines[0] |= {key.replace("at_", "at."): value for key, value in cells.items()}
    table(path / "metrics_summary.csv", tuple(lines[0]), lines)


def first(study: Study) -> Figure:
    figure = full_attn.first(study)
    assert figure is not None
    return figure


def panel(figure: Figure, title: str) -> Axes:
    """The one whose title begins so."""
    (found,) = (axis for axis in figure.axes if axis.get_title("left").startswith(title))
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two shapes, two seeds, two views, two samplers."""
    return read(made.full_attn(tmp_path_factory.mktemp("small"), SMALL))


@pytest.fixture(scope="module")
def trajectory(small: Study) -> Figure:
    return first(small)


@pytest.fixture(scope="module")
def several(small: Study) -> Figure:
    figure = full_attn_multi.figure(small)
    assert figure is not None
    return figure


def test_each_training_has_its_own_losses_spectra_ranks_and_rows(small: Study) -> None:
    assert [(found.key.d, found.key.d_l, found.key.seed) for found in small.trajectories] == [
        (4, 3, 0),
        (4, 3, 1),
        (4, 6, 0),
        (4, 6, 1),
    ]
    for found in small.trajectories:
        assert found.times == [0, 25, 50, 75, 100]
        assert len(found.loss) == 100
        assert len(found.rows) == 5 * 2 * 2
        assert found.singular("sigma_B")[1].shape == (5, min(found.key.d_l, 5))
        assert found.singular("sigma_U")[1].shape == (5, min(found.key.d_l, 4))


def test_two_views_have_six_panels_and_one_has_four(trajectory: Figure, tmp_path: Path) -> None:
    assert [axis.get_title("left").split(",")[-1].strip() for axis in trajectory.axes] == [
        "rank",
        "training loss [nats]",
        "singular values of B",
        "view lsa",
        "view full",
        "singular values of U",
    ]
    alone = read(made.full_attn(tmp_path, SMALL._replace(views=("lsa",), seeds=1)))
    assert len(first(alone).axes) == 4


def test_estimates_stand_at_their_checkpoints_beside_theory(small: Study, trajectory: Figure) -> None:
    found = panel(trajectory, r"$\hat\lambda$ with 95 % intervals, view full")
    one = [row for row in small.trajectories[0].rows if row.raw["at.view"] == "full"]
    assert sorted(dots(found, "auto")) == sorted(
        (float(row.raw["at.epoch"]), row.llc) for row in one if row.sampler == "auto"
    )
    (line,) = (line for line in found.lines if line.get_label() == "theory")
    known = {int(row.raw["at.epoch"]): row.known for row in one if not row.failed}
    assert dict(zip(*np.asarray(line.get_data()).tolist(), strict=True)) == known
    assert hollow(found) == 1


def test_ranks_are_those_of_the_table_with_the_sizes_they_cannot_exceed(small: Study, trajectory: Figure) -> None:
    found = panel(trajectory, "rank")
    drawn = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float) for line in found.lines}
    assert np.round(drawn["rank B"]).tolist() == small.trajectories[0].column("rank_B")[1].tolist()
    assert (drawn["$d+1 = 5$"][0], drawn["$d_l = 3$"][0]) == (5, 3)


def test_failures_and_flags_of_the_training_are_named(trajectory: Figure) -> None:
    assert "The first of 4 trainings." in notes(trajectory)
    assert "no number (2): full_attn,d_l=3,seed=0,epoch=25,view=lsa · sgld (failed: NaN" in notes(trajectory)
    assert "Flagged (2)" in notes(trajectory)


def test_an_estimate_far_from_theory_stands_at_the_edge_and_does_not_flatten_the_others(tmp_path: Path) -> None:
    path = made.full_attn(tmp_path, SMALL._replace(views=("full",), samplers=("auto",), seeds=1))
    rewrite(path, llc="-540", low="-560", high="-520")
    found = panel(first(read(path)), r"$\hat\lambda$")
    ((epoch, place),) = dots(found, "estimate beyond the frame")
    assert epoch == 0
    assert -5 < found.get_ylim()[0] < place < found.get_ylim()[1] < 30
    figure = full_attn_multi.figure(read(path))
    assert figure is not None
    assert "Estimates beyond the edge of their panel: 1." in notes(figure)


def test_parts_of_the_parameters_are_a_view_of_their_own(tmp_path: Path) -> None:
    path = made.full_attn(tmp_path, SMALL._replace(views=("full",), samplers=("auto",), seeds=1))
    rewrite(path, where="W_V,W_O")
    study = read(path)
    assert study.views == ["full where W_V,W_O", "full"]
    assert [len(study.of_view(study.trajectories[0], view)) for view in study.views] == [1, 4]


def test_a_run_without_trainings_has_no_figure(tmp_path: Path) -> None:
    assert full_attn.draw(artifacts.load(write(tmp_path, [Net("icl", 3.0, known=3.0)], task="full_attn"))) == []


def test_what_is_not_measured_yet_is_left_out(tmp_path: Path) -> None:
    path = made.full_attn(tmp_path, SMALL)
    for stem in ("spectra", "ranks", "tolerances"):
        (path / "analysis" / f"{stem}.csv").unlink()
    (path / "metrics.csv").unlink()
    study = read(path)
    figure, multi = full_attn.first(study), full_attn_multi.figure(study)
    assert figure is not None
    assert multi is not None
    assert [len(axis.lines) > 0 for axis in figure.axes] == [True, False, False, True, True, False]


def test_nothing_but_failures_still_shows_the_training(tmp_path: Path) -> None:
    path = made.full_attn(tmp_path, SMALL._replace(samplers=("sgld",), seeds=1))
    lines = [line | {"llc": ""} for line in read_csv(path / "metrics_summary.csv")]
    table(path / "metrics_summary.csv", tuple(lines[0]), lines)
    study = read(path)
    figure, multi = full_attn.first(study), full_attn_multi.figure(study)
    assert figure is not None
    assert multi is not None
    assert (len(figure.axes), len(multi.axes)) == (4, 3)
    assert "no number: sgld 20" in notes(multi)


def test_steps_are_as_good_as_epochs_and_coordinates_may_be_left_to_the_configuration(tmp_path: Path) -> None:
    path = made.full_attn(tmp_path, SMALL._replace(widths=(4,), seeds=1))
    for name in ("metrics_summary.csv", "analysis/spectra.csv", "analysis/ranks.csv"):
        lines = [
            {
                key.replace("epoch", "step"): cell
                for key, cell in line.items()
                if key not in ("at.d_l", "at.seed", "d_l")
            }
            for line in read_csv(path / name)
        ]
        table(path / name, tuple(lines[0]), lines)
    study = read(path)
    (one,) = study.trajectories
    assert study.unit == "step"
    assert (one.key.d, one.key.d_l, one.key.seed) == (4, 4, 0)
    assert len(one.ranks) == len(one.spectra) == 5


def test_uneven_checkpoints_are_told_apart() -> None:
    assert over_time.uneven([0, 5, 10, 25, 200])
    assert not over_time.uneven(range(0, 201, 25))
    assert not over_time.uneven([0, 100])


def test_a_line_is_the_mean_over_seeds_in_a_band_from_least_to_greatest(small: Study, several: Figure) -> None:
    (loss,) = (axis for axis in several.axes if axis.get_title("left") == "training loss [nats]")
    of_seeds = np.array([found.losses[1] for found in small.trajectories if found.key.d_l == 3])
    assert np.asarray(loss.lines[0].get_ydata()) == pytest.approx(of_seeds.mean(0))
    heights = np.asarray(loss.collections[0].get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((of_seeds.min(), of_seeds.max()))


def test_each_view_has_theory_samplers_and_its_last_checkpoint(small: Study, several: Figure) -> None:
    titles = [axis.get_title("left") for axis in several.axes]
    assert len(titles) == 4 * 3
    assert titles[4:8] == [
        "theory, view lsa",
        r"$\hat\lambda$, sampler auto, view lsa",
        r"$\hat\lambda$, sampler sgld, view lsa",
        r"last $\hat\lambda$ against theory, view lsa",
    ]
    ends = [row for row in small.alive if row.raw["at.view"] == "lsa" and row.raw["at.epoch"] == "100"]
    assert sorted(y for _, y in dots(several.axes[7])) == sorted(row.llc for row in ends)
    assert len(dots(several.axes[5])) == 4 * 5


def test_theory_at_full_rank_is_a_line_in_every_panel_of_a_view(several: Figure) -> None:
    for axis in several.axes[4:]:
        wanted = {"lsa": 5**2 / 2, "full": 4 * 6 / 2}[axis.get_title("left").split()[-1]]
        lines = [line for line in axis.lines if line.get_label() == full_attn_multi.CEILING]
        assert [line.get_ydata()[0] for line in lines] == [wanted] * (not axis.get_title("left").startswith("last"))  # type: ignore[index]


def test_one_training_has_no_figure_of_several(tmp_path: Path) -> None:
    assert full_attn_multi.figure(read(made.full_attn(tmp_path, SMALL._replace(widths=(3,), seeds=1)))) is None


def test_a_single_seed_has_no_band(tmp_path: Path) -> None:
    figure = full_attn_multi.figure(read(made.full_attn(tmp_path, SMALL._replace(seeds=1))))
    assert figure is not None
    assert "mean and range over seeds" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "2 trainings, 1 seed;" in notes(figure)


def test_flags_are_counted_by_sampler_and_reason(small: Study) -> None:
    assert trajectories.flagged(small.every) == "Flagged: sgld 8 of 36 (R-hat 8, few draws 8)"
    assert trajectories.failures(small.every) == "Not drawn, no number: sgld 4 (failed: NaN in chain 2 at draw 17)"


def test_nothing_overlaps(tmp_path: Path) -> None:
    bare = Journey(d=4, widths=(4, 6), seeds=2, epochs=(0, 5, 10, 25, 200), views=("full",), samplers=("auto",))
    study = read(made.full_attn(tmp_path, bare))
    for figure in (full_attn.first(study), full_attn_multi.figure(study)):
        assert figure is not None
        assert apart(figure)


@pytest.mark.parametrize(("widths", "second"), [((3, 6), "multi"), ((3,), "staircase")])
def test_a_run_of_the_task_leaves_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, widths: tuple[int, ...], second: str
) -> None:
    monkeypatch.setattr(style, "save", lambda figure, path: path)
    journey = SMALL._replace(widths=widths, views=("full",), samplers=("auto",), seeds=1)
    paths = full_attn.draw(artifacts.load(made.full_attn(tmp_path, journey)))
    assert [path.name for path in paths] == ["full_attn_trajectory.png", f"full_attn_{second}.png"]
