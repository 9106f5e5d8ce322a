"""The machine as a whole: how it is drawn, how large it is, what its parts are, and what it is told to do."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llcx import rng
from llcx.tasks.mcl import decoders, machine, prompts
from llcx.tasks.mcl.model_settings import ENCODERS, Model, Sae
from llcx.tasks.mcl.prompts import Inputs, Table
from tests.tasks.mcl_machines import KINDS, SMALL, built, examples, normals, of_kind, seeded, vocabulary


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_program_only_what_is_shown_matters(kind: str) -> None:
    x, y = examples(3, demos=2), examples(3, demos=2, seed=9)
    another = x._replace(types=y.types, params=y.params)
    for conditioning in ("demos", "none"):
        made = of_kind(kind, conditioning=conditioning)
        assert torch.equal(made(another).h, made(x).h)
    made = of_kind(kind, conditioning="demos")
    for shown in (x._replace(demos_x=y.demos_x), x._replace(demos_y=y.demos_y)):
        assert (made(shown).h - made(x).h).abs().max() > 1e-6
    with pytest.raises(ValueError, match=r"inputs must have demos_x and demos_y"):
        made(examples(3))


def test_the_order_of_demonstrations_does_not_matter() -> None:
    made, x = of_kind("recurrent", conditioning="demos"), examples(3, demos=3)
    assert x.demos_x is not None and x.demos_y is not None
    turned = x._replace(demos_x=x.demos_x.flip(1), demos_y=x.demos_y.flip(1))
    torch.testing.assert_close(made(turned).h, made(x).h)
    torn = x._replace(demos_x=x.demos_x.flip(1))
    assert (made(torn).h - made(x).h).abs().max() > 1e-6


def test_what_is_not_an_index_is_the_zero_vector() -> None:
    table = Table(3, 4)
    found = table(torch.tensor([[0, 2], [-1, 3]]))
    assert torch.equal(found[0], table.weight[[0, 2]])
    assert not found[1].any()


def test_positions_increase_and_every_choice_is_as_likely() -> None:
    types = torch.tensor([[1, 1, -1]]).expand(6000, -1)
    drawn = prompts.positions(types, 5, seeded())
    assert (drawn[:, 2] == -1).all() and (drawn[:, 0] < drawn[:, 1]).all()
    counts = torch.tensor([((drawn[:, 0] == a) & (drawn[:, 1] == b)).sum() for a, b in combinations(range(5), 2)])
    assert counts.sum() == 6000
    chi = float(((counts - 600).square() / 600).sum())  # 9 degrees of freedom: mean 9, standard deviation 4.2
    assert chi < 30
    whole = prompts.positions(torch.ones(4, 3, dtype=torch.long), 3, seeded())
    assert torch.equal(whole, torch.arange(3).expand(4, -1))
    with pytest.raises(ValueError, match=r"task.model.positions must be >= 3, the steps of a program, got 2"):
        prompts.positions(types, 2, seeded())


def test_random_positions_train_the_third_step_on_programs_of_two() -> None:
    made, x = built(encoder="transformer"), examples(20, steps=2)
    table = made.encoder.get_submodule("position").weight
    assert isinstance(table, nn.Parameter) and len(table) == 3

    def slope(inputs: Inputs) -> Tensor:
        return torch.autograd.grad(made(inputs).logits.square().sum(), [table])[0].abs().amax(1)

    assert (slope(made.randomised(x, seeded())) > 0).all()
    assert not slope(x)[2].any()  # in order, it would stay as it was drawn
    assert built(encoder="recurrent").randomised(x, seeded()) is x


def test_parts_are_drawn_from_streams_of_their_own() -> None:
    one, other, apart = built(encoder="recurrent"), built(encoder="gru"), built(seed=1)
    for part in ("prompt", "decoder", "sae", "head"):
        weights = [each.get_submodule(part).state_dict() for each in (one, other, apart)]
        assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items()), part
        drawn = [name for name, value in weights[0].items() if (value != value.flatten()[0]).any()]
        assert drawn and not any(torch.equal(weights[0][name], weights[2][name]) for name in drawn), part


def test_machines_of_the_default_settings_have_half_a_million_parameters_to_one() -> None:
    counts = {
        kind: machine.parameters(machine.build(Model(encoder=kind), Sae(), vocabulary(), rng.streams(0)))
        for kind in ENCODERS
    }
    for kind, found in counts.items():
        assert 450_000 < found["all"] < 1_200_000, kind
        assert found["sae"] == 2 * 128 * 256 + 128 + 256
        assert found["head"] == 129 * 6
        assert found["decoder"] == 129 * 256 + 257 * 256
    assert counts["recurrent"]["encoder"] == 257 * 384 + 4 * 384 + (384 + 128 + 1) * 512 + 513 * 384


def test_predictions_are_the_logits_of_the_whole() -> None:
    made, x = built(), examples(3)
    assert torch.equal(made.predict(x), made(x).logits)
    assert torch.equal(made.decoder(made.latent(made.encode(x).pooled)), made(x).logits)


def test_small_integers_are_as_good_as_large_ones() -> None:
    made, x = built(), examples(3)
    small = Inputs(*(part.to(torch.int8) for part in (x.grids, x.types, x.params)))
    assert torch.equal(made(small).logits, made(x).logits)


def test_dropout_is_off_in_evaluation() -> None:
    for kind in KINDS:
        made, x = of_kind(kind, dropout=0.5), examples(3)
        assert torch.equal(made(x).h, made(x).h)
        made.train()
        with rng.seeded(seeded()):
            assert (made(x).h - made(x).h).abs().max() > 1e-3


def test_deconv_starts_from_two_by_two_cells() -> None:
    made = decoders.build(Model(decoder="deconv", **{**SMALL, "decoder_hidden": 9}), 4).double()
    h = normals(2, 10)
    base, first = made(h), made.first(h)
    first[:, 0] += 5  # the upper left of the four
    moved = (made.rest(first) - base).abs().amax((0, 1))
    assert (moved[:4, :4] > 0).any() and not moved[4:].any() and not moved[:, 4:].any()
    assert F.softmax(base, 1).sum(1).allclose(torch.ones(2, 8, 8, dtype=torch.float64))


def test_grids_start_with_variance_one() -> None:
    for kind in ("recurrent", "transformer"):
        made = machine.build(Model(encoder=kind), Sae(), vocabulary(), rng.streams(0))
        x = examples(50)
        token = made.encode(x).layers["patch"].detach()
        place = 0.25 if kind == "transformer" else 0
        assert float(token.var()) == pytest.approx(1 + place, rel=0.15), kind
