"""Kernels at the moments of a training, and of stretched inputs."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from llcx.tasks.parity import kernels
from llcx.tasks.parity.data import Strings, stacked
from llcx.tasks.parity.kernels import Blocks, Layerwise
from llcx.tasks.parity.kinds import Study, roles, trainable
from llcx.tasks.parity.network import FullyConnected, Probe
from llcx.tasks.parity.schema import Network
from tests.tasks.tangents import difference, normals, weights


def columns(w: Tensor) -> Tensor:
    """Of the first layer of `study`'s network: 5 units, 4 inputs."""
    return w[:, : 5 * 4].unflatten(1, (5, 4)).square().mean(1).sqrt()


def study() -> tuple[Study, dict[str, Tensor]]:
    """Three bits and a constant, strings shared; the labels read bit 1."""
    network = FullyConnected(Network(h=5, layers=2), 4)
    train, test = (normals(n, 3, seed=n).sign() for n in (6, 3))
    x_train, x_test = (torch.cat([x, torch.ones(len(x), 1)], 1).double() for x in (train, test))
    strings = Strings(x_train, train[:, 1], x_test, test[:, 1], torch.tensor([1]))
    moments = {role: weights(network) + 0.1 * seed for seed, role in enumerate(("init", "loss=0.5", "fitted", "final"))}
    return Study(Layerwise(network), strings, 3, Probe(network, 3)), moments


def test_each_kind_is_the_kernel_at_its_moment() -> None:
    made, moments = study()

    def at(role: str, part: str = "all") -> Blocks:
        return kernels.blocks(made.source, moments[role], made.strings.x_train, made.strings.x_test, part)

    for kind, wanted in {
        "init": at("init"),
        "final": at("final"),
        "headless": at("final", "headless"),
        "features": at("final", "features"),
        "running=0.50": at("loss=0.5"),
        "delta": at("final").minus(at("init")),
    }.items():
        assert difference(made.kernel(kind, moments), wanted) == 0
        assert trainable(kind) == (kind != "delta")
    assert made.kernel("final", moments, tete=False).tete.numel() == 0


def test_stretching_compresses_irrelevant_bits_and_nothing_else() -> None:
    made, moments = study()
    x, ratio, rms = made.strings.x_train, made.ratio(moments["fitted"]), columns(moments["fitted"])
    torch.testing.assert_close(ratio, rms[:, 1] / ((rms[:, 0].square() + rms[:, 2].square()) / 2).sqrt())
    stretched = made.stretched(x, ratio)
    assert torch.equal(stretched[..., [1, 3]], x[:, [1, 3]].expand(2, -1, -1))
    torch.testing.assert_close(stretched[..., [0, 2]] * ratio[:, None, None], x[:, [0, 2]].expand(2, -1, -1))
    wanted = kernels.blocks(made.source, moments["init"], stretched, made.stretched(made.strings.x_test, ratio))
    assert difference(made.kernel("stretch", moments), wanted) == 0
    assert difference(made.kernel("init", moments), wanted) > 1e-3


def test_members_with_strings_of_their_own_are_as_each_alone() -> None:
    made, moments = study()
    other = made.strings._replace(x_train=-made.strings.x_train, support=torch.tensor([2]))
    both = replace(made, strings=stacked([made.strings, other]))
    for kind in ("stretch", "features", "delta"):
        found = both.kernel(kind, moments)
        for member, strings in enumerate((made.strings, other)):
            alone = replace(made, strings=strings)
            wanted = alone.kernel(kind, {role: w[member : member + 1] for role, w in moments.items()})
            assert difference(Blocks(*(block[member : member + 1] for block in found)), wanted) < 1e-14


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ntk", "kernel.kinds must be one of init, final"),
        ("running", r"running=F with F in \(0, 1\), a share of the loss, got running"),
        ("final=0.5", "must hold final, got final=0.5; only running=F has a fraction"),
        ("running=2", "got running=2"),
        ("running=half", "got running=half"),
    ],
)
def test_a_kind_that_there_is_not_is_refused(kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        roles(kind)


def test_a_missing_moment_is_named() -> None:
    made, moments = study()
    with pytest.raises(ValueError, match="weights must hold 'fitted' for kernel stretch, got init"):
        made.kernel("stretch", {"init": moments["init"]})
