"""Encoders: what they take and give, what they ignore, many weights at once, and known cells."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from llcx.tasks.mcl import decoders, encoders, prompts
from llcx.tasks.mcl.attention import Attention
from llcx.tasks.mcl.encoders import GRU, GRUCell
from llcx.tasks.mcl.machine import Machine, Outputs
from llcx.tasks.mcl.model_settings import Model, Sae
from llcx.tasks.mcl.prompts import Inputs
from tests.tasks.mcl_machines import KINDS, SMALL, examples, normals, of_kind, seeded, vocabulary


@pytest.mark.parametrize(
    ("kind", "conditioning"),
    [*((kind, "program") for kind in KINDS), *product(("recurrent", "transformer"), ("demos", "none"))],
)
def test_every_encoder_takes_and_gives_the_same_things(kind: str, conditioning: str) -> None:
    made = of_kind(kind, conditioning=conditioning)
    out = made(examples(5, demos=2))
    assert out.logits.shape == (5, 4, 8, 8) and out.h.shape == out.hhat.shape == (5, 10)
    assert out.z.shape == (5, 20) and out.primitives.shape == (5, 6)
    depth = 2 if made.cfg.encoder in ("transformer", "gru") else 3
    assert list(out.layers) == ["patch", *(f"enc{i + 1}" for i in range(depth))]
    assert all(layer.shape[0] == 5 and layer.dim() == 3 for layer in out.layers.values())
    assert list(out.features()) == [*out.layers, "h", "z"]
    tokens, width = encoders.size(made.cfg)
    assert made.encode(examples(5, demos=2)).pooled.shape == (5, tokens, width)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str) -> None:
    made, x = of_kind(kind, longest=5), examples(6, steps=2)
    padding = torch.full((6, 3), -1)
    longer = x._replace(types=torch.cat([x.types, padding], 1), params=torch.cat([x.params, padding], 1))
    for one, other in zip(made(x)[:2], made(longer)[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert prompts.trimmed(longer).types.shape == (6, 2)
    torch.testing.assert_close(made(prompts.trimmed(longer)).h, made(x).h, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_their_parameters_and_their_order_all_matter(kind: str) -> None:
    made, x = of_kind(kind), examples(1, steps=3)
    types, params = torch.tensor([[0, 2, 4]]), torch.tensor([[1, 5, 23]])
    base = x._replace(types=types, params=params)
    other = {
        "order": base._replace(types=types.flip(1), params=params.flip(1)),
        "parameter": base._replace(params=torch.tensor([[1, 5, 22]])),
        "type": base._replace(types=torch.tensor([[1, 2, 4]])),
        "grid": base._replace(grids=(x.grids + 1) % 4),
    }
    at = made(base).logits
    for name, changed in other.items():
        assert (made(changed).logits - at).abs().max() > 1e-6, name


@pytest.mark.parametrize("kind", ["recurrent", "looped"])
def test_a_step_is_the_same_step_wherever_it_stands(kind: str) -> None:
    """Weights are tied, so what has been done after one step does not know of those to come."""
    made, x = of_kind(kind), examples(4, steps=3)
    whole = made(x._replace(types=x.types.clamp(min=0), params=x.params.clamp(min=0)))
    first = made(x._replace(types=x.types[:, :1].clamp(min=0), params=x.params[:, :1].clamp(min=0)))
    torch.testing.assert_close(whole.layers["enc1"], first.layers["enc1"])
    assert (whole.layers["enc3"] - whole.layers["enc1"]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_examples_do_not_meet(kind: str) -> None:
    made, x = of_kind(kind).train(), examples(4)
    alone = Inputs(x.grids[:1], x.types[:1], x.params[:1])
    torch.testing.assert_close(made(x).logits[:1], made(alone).logits)


def test_every_weight_is_used() -> None:
    kinds = [*((kind, "program", "mlp") for kind in KINDS), ("recurrent", "none", "deconv"), ("gru", "demos", "mlp")]
    for kind, conditioning, decoder in kinds:
        made = of_kind(kind, conditioning=conditioning, decoder=decoder)
        out = made(examples(40, demos=1))
        (out.logits.square().sum() + out.hhat.square().sum() + out.primitives.square().sum()).backward()
        for name, p in made.named_parameters():
            assert p.grad is not None and (p.grad != 0).any(), (kind, name)


def several(made: nn.Module, copies: int) -> dict[str, Tensor]:
    """Weights [copies, ...] around the module's own."""
    generator = seeded(3)
    return {
        name: p.detach() + 0.1 * torch.randn((copies, *p.shape), generator=generator, dtype=p.dtype)
        for name, p in made.named_parameters()
    }


def cost(made: Machine, named: dict[str, Tensor], inputs: Inputs) -> Tensor:
    out: Outputs = functional_call(made, named, (inputs,))
    return out.logits.square().sum() + out.primitives.square().sum() + out.hhat.square().sum()


@pytest.mark.parametrize(
    ("kind", "decoder", "sae"),
    [
        *((kind, "mlp", "l1") for kind in KINDS),
        ("recurrent", "deconv", "topk"),
        ("recurrent", "mlp", "batchtopk"),
        ("recurrent", "mlp", "jumprelu"),
    ],
)
def test_many_weights_at_once_are_each_by_itself(kind: str, decoder: str, sae: str) -> None:
    """Outputs and gradients under torch.func.vmap, in evaluation mode, inputs shared and each its own."""
    made = of_kind(kind, decoder=decoder, sae=Sae(sae, units=20, k=4))
    weights = {name: w.requires_grad_() for name, w in several(made, 2).items()}
    x, own = examples(3), [examples(3, seed=seed) for seed in (4, 5)]
    pairs = [torch.stack([getattr(each, name) for each in own]) for name in ("grids", "types", "params")]
    shared = vmap(lambda named: cost(made, named, x))(weights)
    apart = torch.stack([cost(made, {name: w[i] for name, w in weights.items()}, x) for i in range(2)])
    torch.testing.assert_close(shared, apart, rtol=1e-11, atol=0)
    many = vmap(lambda named, *parts: cost(made, named, Inputs(*parts)))(weights, *pairs)
    each = torch.stack([cost(made, {name: w[i] for name, w in weights.items()}, own[i]) for i in range(2)])
    torch.testing.assert_close(many, each, rtol=1e-11, atol=0)
    slopes = (torch.autograd.grad(found.sum(), list(weights.values())) for found in (shared, apart))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10 * float(other.abs().max()))


def test_attention_is_that_of_torch() -> None:
    made, theirs = Attention(8, 2).double(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(made.qkv.weight)
        theirs.in_proj_bias.copy_(made.qkv.bias)
        theirs.out_proj.load_state_dict(made.out.state_dict())
    x, mask = normals(3, 5, 8), torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    torch.testing.assert_close(made(x, mask), theirs(x, x, x, key_padding_mask=~mask, need_weights=False)[0])


def test_a_gru_cell_is_that_of_torch() -> None:
    made, theirs = GRUCell(5, 7).double(), nn.GRUCell(5, 7).double()
    with torch.no_grad():
        for kind, layer in (("ih", made.of_input), ("hh", made.of_state)):
            getattr(theirs, f"weight_{kind}").copy_(layer.weight)
            getattr(theirs, f"bias_{kind}").copy_(layer.bias)
    state, token = normals(4, 7), normals(4, 5, seed=2)
    torch.testing.assert_close(made(state, token), theirs(token, state))


def test_gru_layers_are_those_of_torch_up_to_the_last_valid_token() -> None:
    cfg = Model(encoder="gru", **{**SMALL, "state": 7})
    made, theirs = GRU(cfg, 4).double(), nn.GRU(8, 7, 2, batch_first=True).double()
    with torch.no_grad():
        for layer, cell in enumerate(made.cells):
            assert isinstance(cell, GRUCell)
            for kind, part in (("ih", cell.of_input), ("hh", cell.of_state)):
                getattr(theirs, f"weight_{kind}_l{layer}").copy_(part.weight)
                getattr(theirs, f"bias_{kind}_l{layer}").copy_(part.bias)
    grids = prompts.planes(examples(3).grids, 4).double()
    tokens, lengths = normals(3, 3, 8), [1, 3, 2]
    mask = torch.arange(3) < torch.tensor(lengths).unsqueeze(1)
    found = made(grids, prompts.Steps(tokens, mask))
    expected, _ = theirs(torch.cat([made.patches(grids), tokens], 1))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found.pooled[row, 0], expected[row, 16 + length - 1])
        torch.testing.assert_close(found.layers["enc2"][row, : 16 + length], expected[row, : 16 + length])


def test_patches_are_read_row_by_row() -> None:
    made = encoders.Patches(Model(width=8, patch=4), 4).double()
    grids = torch.zeros(1, 4, 8, 8, dtype=torch.float64)
    base = made(grids)
    for token, (row, column) in enumerate(product((0, 4), (0, 4))):
        moved = grids.clone()
        moved[0, 2, row, column] = 1
        changed = (made(moved) - base).abs().amax(2)[0]
        assert changed[token] > 1e-4 and changed.count_nonzero() == 1


def test_what_there_is_not_is_refused() -> None:
    cfg = Model()
    object.__setattr__(cfg, "encoder", "mamba")
    object.__setattr__(cfg, "decoder", "diffusion")
    with pytest.raises(ValueError, match=r"task.model.encoder must be one of recurrent, transformer, looped, gru"):
        encoders.build(cfg, vocabulary())
    with pytest.raises(ValueError, match=r"task.model.decoder must be one of mlp, deconv"):
        decoders.build(cfg, 4)
    with pytest.raises(ValueError, match=r"task.data.conditioning must be one of program, demos, none, got hints"):
        prompts.build(vocabulary("hints"), 8)
    for key, value in (("encoder", "cnn"), ("patch", 3), ("width", 0), ("heads", 3), ("dropout", 1.0), ("state", 0)):
        with pytest.raises(ValueError, match=rf"task.model.({key}|width) must be"):
            Model(**{key: value})  # type: ignore[arg-type]
