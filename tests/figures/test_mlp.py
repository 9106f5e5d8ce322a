"""mlp_samplers.png."""

from pathlib import Path

from llcx import artifacts
from llcx.figures import mlp
from tests.figures.look import dots, hollow, notes
from tests.figures.run_folder import Net, write


def test_one_sampler_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    folder = artifacts.load(write(tmp_path, [Net("a", 4.0), Net("b", 5.0)], task="mlp"))
    assert mlp.samplers(folder) is None
    assert mlp.draw(folder) == []


def test_a_lane_a_sampler_and_a_dot_a_point(tmp_path: Path) -> None:
    nets = [Net(point, 5.0, sampler) for sampler in ("auto", "hmc", "sgld") for point in ("a", "b")]
    nets[5] = nets[5]._replace(flags="rhat")
    nets.append(Net("c", 5.0, "sgld", failed="chain 0 died"))
    figure = mlp.samplers(artifacts.load(write(tmp_path, nets, task="mlp")))
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["auto", "hmc", "sgld"]
    for panel in figure.axes:
        assert len(dots(panel)) == 6
        assert hollow(panel) == 1
        lanes = sorted(round(y) for _, y in dots(panel))
        assert lanes == [0, 0, 1, 1, 2, 2]
    assert "chain 0 died" in notes(figure) or "c" in notes(figure)
    assert figure.axes[2].get_xlim()[0] == 0
