"""Fewer passes over memory: what a layer adds goes into its product, and what dies is written over.

Small layers are done as fast as their numbers come from the cache, so that a tensor that is not made counts twice.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, Node

from llcx.gradients.products import product, shifted
from llcx.gradients.recorder import Like, like
from llcx.gradients.turning import VIEWS

aten = torch.ops.aten
PRODUCTS = (aten.bmm.default, aten.baddbmm.default, aten.mm.default, product, shifted)
COPIES = (aten.clone.default, aten._to_copy.default)  # called pointwise, and may be left out or keep odd strides
READING = (*PRODUCTS, aten.sum.dim_IntList, aten.sum.default, aten.mean.dim, aten.amax.default)
SWAP = (aten.add.Tensor, aten.mul.Tensor)
OVER: dict[Any, Callable[..., Any]] = {  # operation -> the same into its first argument
    aten.relu.default: torch.relu_,
    aten.tanh.default: torch.tanh_,
    aten.sigmoid.default: torch.sigmoid_,
    aten.exp.default: torch.exp_,
    aten.neg.default: torch.neg_,
    aten.add.Tensor: torch.Tensor.add_,
    aten.sub.Tensor: torch.Tensor.sub_,
    aten.mul.Tensor: torch.Tensor.mul_,
    aten.mul.Scalar: torch.Tensor.mul_,
    aten.div.Tensor: torch.Tensor.div_,
    aten.pow.Tensor_Scalar: torch.Tensor.pow_,
}
INTO = {  # the same by their form with a place for the result
    aten.threshold_backward.default: aten.threshold_backward.grad_input,
    aten.tanh_backward.default: aten.tanh_backward.grad_input,
    aten.sigmoid_backward.default: aten.sigmoid_backward.grad_input,
    aten.gelu_backward.default: aten.gelu_backward.grad_input,
    aten.silu_backward.default: aten.silu_backward.grad_input,
}


def straighten(graph: Graph) -> None:
    """(a b)^T that is to lie row by row: b^T a^T, which does."""
    for node in graph.find_nodes(op="call_function", target=aten.transpose.int):
        inner = node.args[0]
        if inner.target is not aten.bmm.default or len(inner.users) > 1 or not _last_two(node):
            continue
        if all(user.target in VIEWS for user in node.users):
            with graph.inserting_before(inner):
                made = graph.call_function(aten.bmm.default, tuple(_flip(graph, x) for x in inner.args[::-1]))
            made.meta = dict(node.meta)
            node.replace_all_uses_with(made)


def add_in_products(graph: Graph) -> None:
    """x + a b as one operation, where the product is needed for nothing else."""
    for node in graph.find_nodes(op="call_function", target=aten.add.Tensor):
        if node.kwargs or not all(isinstance(x, Node) for x in node.args):
            continue
        for inner, other in (node.args, node.args[::-1]):
            if inner.target is aten.bmm.default and len(inner.users) == 1 and _fits(node, inner, other):
                with graph.inserting_before(node):
                    made = graph.call_function(aten.baddbmm.default, (other, *inner.args))
                made.meta = dict(node.meta)
                node.replace_all_uses_with(made)
                graph.erase_node(node)
                graph.erase_node(inner)
                break


def overwrite(graph: Graph) -> None:
    """Operations number by number write into an argument that nobody reads after them."""
    place = {node: k for k, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if node.target in SWAP and not node.kwargs and _dies(node, 1, place) and not _dies(node, 0, place):
            node.args = node.args[::-1]
        if (node.target in OVER or node.target in INTO) and _dies(node, 0, place):
            if node.target in INTO:
                node.kwargs = {**node.kwargs, "grad_input": node.args[0]}
            node.target = OVER.get(node.target) or INTO[node.target]


def _dies(node: Node, which: int, place: dict[Node, int]) -> bool:
    """Whether an argument has memory of its own, as large as the result's, and `node` is the last to look at it."""
    x = node.args[which]
    if not isinstance(x, Node) or x.op != "call_function" or x.meta.get("like") != like(node):
        return False
    own = x.target in PRODUCTS or x.target in OVER.values() or x.target in INTO.values() or _pointwise(x)
    return own and all(user is node or (place[user] < place[node] and _reads(user)) for user in x.users)


def _reads(node: Node) -> bool:
    """Whether what `node` gives is no other look at the memory of what it was given."""
    return node.target in READING or _pointwise(node)


def _pointwise(node: Node) -> bool:
    return torch.Tag.pointwise in getattr(node.target, "tags", ()) and node.target not in COPIES


def _fits(node: Node, product: Node, other: Node) -> bool:
    """Whether `other` becomes the product by repetition, and all are of one type."""
    whole, part = like(product), like(other)
    return whole == like(node) and whole.dtype == part.dtype and len(part.shape) <= 3


def _last_two(node: Node) -> bool:
    return len(like(node).shape) == 3 and tuple(node.args[1:]) in ((1, 2), (2, 1), (-1, -2), (-2, -1))


def _flip(graph: Graph, x: Any) -> Node:
    found = graph.call_function(aten.transpose.int, (x, 1, 2))
    kind: Like = like(x)
    found.meta = {"like": kind.turned()}
    return found
