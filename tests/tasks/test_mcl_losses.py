"""What grids cost and how they are scored: by hand, against other implementations, and where gradients are."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence
from torch.func import grad, jacrev

from llcx import gradients
from llcx.params import flatten, with_weights
from llcx.tasks.mcl import losses
from llcx.tasks.mcl.losses import Cells
from llcx.tasks.mcl.machine import Machine
from llcx.tasks.mcl.model_settings import Weights
from llcx.tasks.mcl.prompts import Inputs
from llcx.types import Batch, Data, StatModel
from tests.tasks.mcl_machines import built, examples, labels, normals, number, seeded


def grids(rows: int, seed: int = 0, colours: int = 4) -> Tensor:
    return torch.randint(0, colours, (rows, 8, 8), generator=seeded(seed))


def certain(predicted: Tensor, confidence: float = 60.0) -> Tensor:
    """Logits that are all but sure of a grid."""
    return confidence * F.one_hot(predicted, 4).movedim(-1, 1).double()


def near(target: Tensor, share: float, seed: int = 3) -> Tensor:
    """The target with that share of its cells drawn again."""
    again = torch.rand(target.shape, generator=seeded(seed)) < share
    return torch.where(again, grids(len(target), seed), target)


def test_macro_iou_is_that_of_scikit_learn() -> None:
    target = grids(20).clamp(max=2)  # so that some classes are in the prediction alone, and some in neither
    predicted = near(target, 0.3)
    predicted[:5] = predicted[:5].clamp(max=1)
    found = losses.macro_iou(predicted, target, 4)
    for row in range(20):
        a, b = target[row].flatten().numpy(), predicted[row].flatten().numpy()
        assert float(found[row]) == pytest.approx(jaccard_score(a, b, average="macro", labels=sorted({*a, *b})))


def test_scores_by_hand() -> None:
    inputs = torch.zeros(1, 8, 8, dtype=torch.long)
    target, predicted = inputs.clone(), inputs.clone()
    target[0, 0, :4] = 1  # four cells change
    predicted[0, 0, 1:5] = 1  # three of them found, one too many
    found = losses.scores(predicted, target, inputs, 4)
    assert float(found.accuracy) == pytest.approx(62 / 64)
    assert float(found.micro_iou) == pytest.approx(62 / 66)  # 62 cells in common, 64 + 64 - 62 in all
    assert float(found.macro_iou) == pytest.approx((59 / 61 + 3 / 5) / 2)
    assert float(found.changed) == pytest.approx(3 / 4)
    assert float(found.exact) == 0
    assert float(losses.scores(target, target, inputs, 4).exact) == 1
    same = losses.scores(predicted, inputs, inputs, 4)
    assert same.changed.isnan().all()
    assert torch.cat([found.changed, same.changed]).nanmean() == pytest.approx(3 / 4)


def test_means_leave_out_what_is_not_defined() -> None:
    inputs, target = grids(2), grids(2)
    target[1, 0, 0] = (target[1, 0, 0] + 1) % 4
    found = losses.scores(target, target, inputs, 4).means()
    assert found == dict.fromkeys(("macro_iou", "micro_iou", "accuracy", "exact", "changed"), 1.0)


def test_references_score_nothing_where_it_matters() -> None:
    inputs, target = grids(30), near(grids(30), 0.2)
    found = losses.references(target, inputs, 4)
    assert float(found["copy"].changed.nanmean()) == 0
    assert float(found["copy"].accuracy.mean()) == pytest.approx(0.85, abs=0.03)
    assert float(found["background"].accuracy.mean()) == pytest.approx(0.25, abs=0.03)
    assert float(found["copy"].macro_iou.mean()) > 3 * float(found["background"].macro_iou.mean())


def test_soft_iou_of_certain_predictions_is_the_metric() -> None:
    target = grids(12).clamp(max=2)
    predicted = near(target, 0.3)
    expected = 1 - losses.macro_iou(predicted, target, 4).mean()
    assert float(losses.soft_iou(certain(predicted), target)) == pytest.approx(float(expected), abs=1e-9)
    assert float(losses.soft_iou(certain(target), target)) == pytest.approx(0, abs=1e-9)


def test_soft_iou_can_be_descended() -> None:
    target = grids(6)
    logits = normals(6, 4, 8, 8).requires_grad_()
    (slope,) = torch.autograd.grad(losses.soft_iou(logits, target), [logits])
    assert (slope != 0).double().mean() > 0.99
    before, after = losses.soft_iou(logits, target), losses.soft_iou(logits - 0.5 * slope.sign(), target)
    assert number(after) < number(before) - 0.1
    hard = losses.macro_iou(logits.argmax(1), target, 4)  # the metric itself has no gradient
    assert not hard.requires_grad


def test_soft_iou_by_hand() -> None:
    """p = 0.75 for colour 1 and 0.25 for colour 0 everywhere, target colour 1 everywhere: (0.75 + 0) / 1, colour 0
    being neither in the target nor predicted."""
    logits = torch.full((1, 4, 8, 8), -1e3, dtype=torch.float64)
    logits[:, 0], logits[:, 1] = 0.0, torch.tensor(3.0).log()
    target = torch.ones(1, 8, 8, dtype=torch.long)
    assert float(losses.soft_iou(logits, target)) == pytest.approx(0.25)
    target[0, :4] = 0  # now both are: 1/4 * 32 / (32 + 16 - 8), 3/4 * 32 / (32 + 48 - 24)
    assert float(losses.soft_iou(logits, target)) == pytest.approx(1 - (8 / 40 + 24 / 56) / 2)


def test_the_tasks_losses_add_up() -> None:
    logits, target = normals(3, 4, 8, 8), grids(3)
    ce, iou = losses.cross_entropy(logits, target), losses.soft_iou(logits, target)
    assert float(ce) == pytest.approx(float(-Categorical(logits=logits.movedim(1, -1)).log_prob(target).mean()))
    for kind, expected in (("ce", ce), ("soft_iou", iou), ("ce+soft_iou", ce + 0.3 * iou)):
        torch.testing.assert_close(losses.task(Weights(task=kind, iou=0.3), logits, target), expected)
    broken = Weights()
    object.__setattr__(broken, "task", "dice")
    with pytest.raises(ValueError, match=r"task.weights.task must be one of ce, soft_iou, ce\+soft_iou, got dice"):
        losses.task(broken, logits, target)


def test_binary_cross_entropy_trains_the_primitive_head_and_nothing_else_does() -> None:
    machine, x = built(), examples(12)
    told = labels(x)
    before = number(losses.primitives(machine(x).primitives, told.primitives))
    head = [p.detach().clone() for p in machine.head.parameters()]
    optimizer = torch.optim.Adam(machine.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        losses.cross_entropy(machine(x).logits, told.target).backward()
        optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(machine.head.parameters(), head, strict=True))
    for _ in range(20):
        optimizer.zero_grad()
        losses.primitives(machine(x).primitives, told.primitives).backward()
        optimizer.step()
    after = number(losses.primitives(machine(x).primitives, told.primitives))
    assert after < 0.7 * before


def test_an_examples_nats_are_summed_over_its_cells() -> None:
    logits, target = normals(3, 4, 8, 8), grids(3)
    law = Categorical(logits=logits.movedim(1, -1))
    batch = (torch.zeros(3), target.to(torch.int8))
    torch.testing.assert_close(Cells()(logits, batch), -law.log_prob(target).sum((1, 2)))
    torch.testing.assert_close(Cells(1)(logits, batch).mean(), 64 * losses.cross_entropy(logits, target))
    other = logits + 0.3 * normals(3, 4, 8, 8, seed=5)
    expected = kl_divergence(law, Categorical(logits=other.movedim(1, -1))).sum((1, 2))
    torch.testing.assert_close(Cells().kl(logits, other), expected)
    assert (Cells().kl(logits, logits).abs() < 1e-12).all() and (expected > 1).all()


@pytest.mark.parametrize("target", ["data", "self"])
def test_a_machine_runs_for_many_weights_at_once(target: str) -> None:
    """The learning coefficient's own potential: vmap and one by one agree, and K = 0 at w*."""
    made, x, cells = built().requires_grad_(), examples(5), Cells()
    batch = (x.grids, x.types, x.params, 3 - x.grids)

    def forward(module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, Machine)
        return module.predict(Inputs(*batch[:3]))

    stat = StatModel(made, cells, cells.kl, forward=forward, root=cells.root)
    at = flatten(made)
    w = torch.stack([at, at + 0.05 * normals(len(at), seed=4)])
    found = {
        backend: gradients.of_model(stat, Data(batch, 5), target=target, dtype=torch.float64, backend=backend)[0].full(
            w
        )
        for backend in ("vmap", "seq")
    }
    for one, other in zip(found["vmap"], found["seq"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    k, _ = found["vmap"]
    before, after = (forward(moved, batch).detach() for moved in (made, with_weights(made, w[1])))
    expected = cells.kl(before, after) if target == "self" else cells(after, batch) - cells(before, batch)
    assert float(k[0]) == pytest.approx(0, abs=1e-12)
    assert float(k[1]) == pytest.approx(float(expected.mean()), rel=1e-9) and float(k[1].abs()) > 1e-2


def test_the_root_is_that_of_the_divergences_curvature() -> None:
    at = normals(1, 3, 2, 2)

    def divergence(flat: Tensor) -> Tensor:
        return Cells().kl(at, flat.view_as(at)).squeeze(0)

    hessian = jacrev(grad(divergence))(at.flatten())
    units = torch.eye(12, dtype=torch.float64)
    root = torch.stack([Cells().root(at, unit.view_as(at)).flatten() for unit in units], 1)
    torch.testing.assert_close(root @ root.T, hessian, rtol=1e-9, atol=1e-9)
