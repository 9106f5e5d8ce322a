"""A function of tensors as a straight list of tensor operations: recorded once, cleaned, and run without its autograd.

What is recorded is a function of the shapes alone, and so is what the rules below make of it. They leave the result as
it is, up to rounding: constants are worked out once, what changes nothing is dropped, equal operations are done once,
and few columns by many rows are turned (turning.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from llcx.gradients.fusing import add_in_products, overwrite, straighten
from llcx.gradients.products import by_one_dnn
from llcx.gradients.recorder import like, record, writes
from llcx.gradients.turning import FILLED, SAME, VIEWS, looks, turn, unfold

aten = torch.ops.aten
LARGE = 2**20  # bytes of a constant that is worked out again rather than kept
QUICK: dict[Any, Callable[..., Any]] = {  # the same functions without the look at their schema: 1 us less a call
    **dict.fromkeys(VIEWS, torch.reshape),
    aten.transpose.int: torch.transpose,
    aten.bmm.default: torch.bmm,
    aten.baddbmm.default: torch.baddbmm,
    aten.sub.Tensor: torch.sub,
    aten.add.Tensor: torch.add,
    aten.mul.Tensor: torch.mul,
    aten.mul.Scalar: torch.mul,
    aten.div.Tensor: torch.div,
    aten.neg.default: torch.neg,
    aten.relu.default: torch.relu,
    aten.tanh.default: torch.tanh,
    aten.unsqueeze.default: torch.unsqueeze,
    aten.sum.dim_IntList: torch.sum,
    aten.cat.default: torch.cat,
    aten.split_with_sizes.default: torch.split_with_sizes,
}


def recorded(function: Callable[..., Any], example: Sequence[Tensor]) -> GraphModule:
    """`function` of tensors shaped like those of `example`; raises what it raises, RuntimeError for what cannot be."""
    found = record(function, example)
    found.meta["any_order"] = False
    if not writes(found.graph):
        _cleaned(found)
    for node in found.graph.nodes:
        if node.op == "call_function" and not (node.target is aten.add.Tensor and node.kwargs):
            node.target = QUICK.get(node.target, node.target)
    found.recompile()
    return found


def _cleaned(module: GraphModule) -> None:
    graph = module.graph
    graph.eliminate_dead_code()
    _fold(module)
    rules = [_simplify, _share, by_one_dnn]
    any_order = all(looks(node) for node in graph.nodes)  # of what it is given, in memory
    module.meta["any_order"] = any_order
    if any_order:
        fused = [straighten, _simplify, _share, add_in_products, by_one_dnn, overwrite]
        rules = [unfold, _simplify, _share, turn, _simplify, _share, *fused]
    for rule in rules:
        rule(graph)
        graph.eliminate_dead_code()
    _spread(module)
    graph.lint()


def _fold(module: GraphModule) -> None:
    """What depends on no input is worked out here and now."""
    known: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            known[node] = getattr(module, str(node.target))
        elif node.op == "call_function" and (found := _constant(node, known)) is not None:
            known[node] = found
    for node in list(module.graph.nodes):
        used = node.op == "call_function" and any(user not in known for user in node.users)
        if used and isinstance(value := known.get(node), Tensor):
            name = f"constant_{len(module._buffers)}"
            module.register_buffer(name, value, persistent=False)
            with module.graph.inserting_before(node):
                held = module.graph.get_attr(name)
            held.meta = {**node.meta, "uniform": _uniform(value)}
            node.replace_all_uses_with(held)
    module.graph.eliminate_dead_code()


def _spread(module: GraphModule) -> None:
    """Constants of one number repeated get memory of their own, as kernels may expect: for good, if little."""
    for node in module.graph.find_nodes(op="get_attr"):
        value = getattr(module, str(node.target))
        if value.is_contiguous() or 0 not in value.stride():
            continue
        if value.numel() * value.element_size() <= LARGE:
            module.register_buffer(str(node.target), value.contiguous(), persistent=False)
            continue
        with module.graph.inserting_after(node):
            made = module.graph.call_function(torch.Tensor.contiguous, (node,))
        node.replace_all_uses_with(made, delete_user_cb=lambda user, made=made: user is not made)


def _constant(node: Node, known: dict[Node, Any]) -> Any:
    """The value of `node` where its inputs are known, or only their shapes matter; None where not, or it is large."""
    tags = getattr(node.target, "tags", ())
    if torch.Tag.nondeterministic_seeded in tags:
        return None
    if node.target in FILLED:
        return _full(like(node), FILLED[node.target])
    if any(each not in known for each in node.all_input_nodes):
        return None
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda each: known[each])
    value = node.target(*args, **kwargs)  # type: ignore[operator]
    if not isinstance(value, Tensor):
        return value
    if (level := _uniform(value)) is not None:
        return _full(value, level)
    return value if value.numel() * value.element_size() <= LARGE else None


def _uniform(value: Any) -> float | None:
    """The one number of a tensor of floating point that holds no other; None where it does, or is empty."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.numel() == 0:
        return None
    first = value[(0,) * value.dim()]
    return float(first) if bool((value == first).all()) else None


def _simplify(graph: Graph) -> None:
    """Drop what changes nothing; several scalings in a row are one."""
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if (other := _dropped(node)) is not None:
            node.replace_all_uses_with(other)
        elif node.target in VIEWS and isinstance(first := node.args[0], Node) and first.target in VIEWS:
            node.args = (first.args[0], *node.args[1:])
        elif (found := _scaled(node)) is not None:
            _rescale(graph, node, *found)


def _dropped(node: Node) -> Node | None:
    """The node whose value `node` only repeats."""
    first = node.args[0] if node.args else None
    if not isinstance(first, Node):
        return None
    if node.target in SAME and _alike(node, first):
        return first
    if node.target is aten._to_copy.default and _alike(node, first):
        return first
    if node.target is aten.pow.Tensor_Scalar and node.args[1] == 1:
        return first
    if node.target is aten.transpose.int and first.target is aten.transpose.int:
        twice = first.args[0]
        same = {node.args[1], node.args[2]} == {first.args[1], first.args[2]}
        return twice if same and isinstance(twice, Node) else None
    return None


def _scaled(node: Node) -> tuple[Node, float] | None:
    """(x, factor) where `node` is factor * x and of x's shape."""
    first, second = (*node.args, None, None)[:2]
    if node.target is aten.neg.default and isinstance(first, Node):
        return first, -1.0
    if node.target in (aten.mul.Tensor, aten.mul.Scalar):
        for one, other in ((first, second), (second, first)):
            level = one.meta.get("uniform") if isinstance(one, Node) else one
            if isinstance(level, int | float) and isinstance(other, Node) and _alike(node, other):
                return other, float(level)
    if node.target is aten.div.Tensor and isinstance(first, Node) and isinstance(second, int | float):
        return (first, 1 / second) if _alike(node, first) else None
    return None


def _rescale(graph: Graph, node: Node, source: Node, factor: float) -> None:
    """One product in place of a row of them."""
    links = 1
    while (before := _scaled(source)) is not None:
        source, factor, links = before[0], factor * before[1], links + 1
    if factor == 1:
        node.replace_all_uses_with(source)
    elif links > 1 or node.target is aten.mul.Tensor:
        with graph.inserting_before(node):
            made = graph.call_function(aten.neg.default, (source,)) if factor == -1 else None
            made = made or graph.call_function(aten.mul.Scalar, (source, factor))
        made.meta = dict(node.meta)
        node.replace_all_uses_with(made)


def _share(graph: Graph) -> None:
    """Equal operations on equal inputs are done once."""
    seen: dict[Any, Node] = {}
    for node in graph.nodes:
        tags = getattr(node.target, "tags", ())
        if node.op != "call_function" or torch.Tag.nondeterministic_seeded in tags:
            continue
        key = (node.target, str(node.args), str(node.kwargs))
        if key in seen:
            node.replace_all_uses_with(seen[key])
        else:
            seen[key] = node


def _full(kind: Any, level: float) -> Tensor:
    return torch.full((), level, dtype=kind.dtype, device=kind.device).expand(kind.shape)


def _alike(one: Node, other: Node) -> bool:
    first, second = one.meta.get("like"), other.meta.get("like")
    return first is not None and first == second
