"""llc_qq.png."""

import numpy as np
from matplotlib.figure import Figure

from llcx.artifacts import RunFolder
from llcx.figures import qq, rows


def drawn(energy: np.ndarray, row: rows.Row) -> np.ndarray:
    """Quantiles of the energies against those of the Gamma law, as drawn: [2, 100]."""
    axis = Figure().subplots()
    qq.panel(axis, row, energy)
    return np.asarray(axis.lines[-1].get_data(), dtype=float)


def test_gamma_distributed_energies_lie_on_the_line(one: RunFolder) -> None:
    law, found = drawn(np.random.default_rng(0).gamma(9.5, size=(4, 100_000)), rows.read(one)[0])
    assert np.abs(found / law - 1).max() < 0.02


def test_energies_that_are_twice_too_hot_leave_the_line(one: RunFolder) -> None:
    hot = np.random.default_rng(0).gamma(9.5 / 2, 2.0, size=(4, 100_000))  # the same mean
    law, found = drawn(hot, rows.read(one)[0])
    assert found[-1] > 1.25 * law[-1]
    assert found[0] < 0.6 * law[0]


def test_the_titles_give_rhat_and_ess(many: RunFolder) -> None:
    titles = [axis.get_title("left") for axis in qq.figure(many).axes]
    assert len(titles) == 12
    assert all("ESS 310" in title for title in titles)
    assert sum(r"$\hat R$ 1.52" in title for title in titles) == 1


def test_flagged_rows_are_hollow(many: RunFolder) -> None:
    faces = [axis.lines[-1].get_markerfacecolor() for axis in qq.figure(many).axes]
    assert [face == "none" for face in faces] == [True] * 3 + [False] * 9


def test_a_negative_mean_has_no_gamma_law_and_the_panel_says_so(odd: RunFolder) -> None:
    panels = {axis.get_title("left").split(" ")[0]: axis for axis in qq.figure(odd).axes}
    assert not panels["negative"].lines
    assert "not positive" in panels["negative"].texts[0].get_text() + panels["negative"].texts[1].get_text()
