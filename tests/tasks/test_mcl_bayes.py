"""What can be guessed of a target drawn at random, where the law is known."""

import pytest
import torch
from torch import Generator, Tensor

from llcx.tasks.mcl import bayes

COLOURS = 4


def grids(count: int = 40) -> Tensor:
    return torch.randint(COLOURS, (count, 3, 3), generator=Generator().manual_seed(0))


def one_of(*shares: float) -> bayes.Draw:
    """Each grid's colours shifted by 0, 1, .. with these probabilities."""
    generator = Generator().manual_seed(1)

    def draw(x: Tensor) -> Tensor:
        by = torch.multinomial(torch.tensor(shares), len(x), replacement=True, generator=generator)
        return (x + by[:, None, None]) % COLOURS

    return draw


def right(guess: Tensor, target: Tensor) -> Tensor:
    return (guess == target).float().mean((1, 2))


def ceiling(draw: bayes.Draw, **settings: object) -> bayes.Ceiling:
    return bayes.ceiling(grids(), draw, colours=COLOURS, **settings)  # type: ignore[arg-type]


def test_the_grid_itself_is_a_guess() -> None:
    """Copying is never better than the best guess, though the grid is seldom drawn."""
    x = grids()

    def alike(guess: Tensor, target: Tensor) -> Tensor:
        return (guess == x.repeat_interleave(len(guess) // len(x), 0)).flatten(1).all(1).float()

    found = ceiling(one_of(0.0, 0.5, 0.5), score=alike)
    assert found.score is not None and found.score.low == 1


@pytest.mark.parametrize("shares", [(1.0,), (0.6, 0.4), (0.2, 0.5, 0.3)])
def test_the_most_probable_is_the_ceiling(shares: tuple[float, ...]) -> None:
    found = ceiling(one_of(*shares), score=right)
    for each in (found.accuracy, found.exact, found.score):
        assert each is not None
        assert each.low == pytest.approx(max(shares), abs=0.02)
        assert each.high == pytest.approx(max(shares), abs=0.02)


def test_guessing_well_and_being_told_so_bracket_the_truth() -> None:
    """Four colours alike: nothing is better than .25, few draws seem to be, and more draws close the bracket."""
    few, many = (ceiling(one_of(0.25, 0.25, 0.25, 0.25), draws=draws) for draws in (8, 512))
    for found in (few.accuracy, few.exact):
        assert found.high > 0.35 and abs(found.low - 0.25) < 0.05
    assert many.accuracy.high - many.accuracy.low < 0.06
    assert many.accuracy.low <= 0.27 and many.accuracy.high >= 0.25


def test_cells_are_guessed_better_one_by_one_and_targets_as_a_whole() -> None:
    """Of three targets, shares .4, .3, .3, the last two agree in all cells but one in which all differ."""
    first, agreed = torch.zeros(3, 3).long(), torch.ones(3, 3).long()
    last = agreed.clone()
    agreed[0, 0], last[0, 0] = 2, 3
    targets, generator = torch.stack([first, agreed, last]), Generator().manual_seed(1)

    def draw(x: Tensor) -> Tensor:
        return targets[torch.multinomial(torch.tensor([0.4, 0.3, 0.3]), len(x), replacement=True, generator=generator)]

    def exactly(guess: Tensor, target: Tensor) -> Tensor:
        return (guess == target).flatten(1).all(1).float()

    cells, whole = ceiling(draw, draws=512, score=right), ceiling(draw, draws=512, score=exactly)
    assert cells.accuracy.low == pytest.approx((8 * 0.6 + 0.4) / 9, abs=0.02)
    assert cells.exact.low == pytest.approx(0.4, abs=0.02)
    assert cells.score is not None and whole.score is not None
    assert cells.score.low == pytest.approx(cells.accuracy.low, abs=1e-6)
    assert whole.score.low == pytest.approx(whole.exact.low, abs=1e-6)
