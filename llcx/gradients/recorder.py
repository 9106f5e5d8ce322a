"""The tensor operations of a function, below vmap and autograd, as a graph: recorded while it runs once.

What torch.fx.experimental.proxy_tensor.make_fx does, for plain tensors of fixed shapes: it takes a tenth of the time,
and torch's compiler, a second or two of loading, stays out.
"""

from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DATA = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)  # what depends on more than shapes


class Like(NamedTuple):
    """What a tensor is besides its numbers."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def turned(self) -> "Like":
        """Its last two axes exchanged."""
        *before, rows, columns = self.shape
        return self._replace(shape=(*before, columns, rows))


def like(node: Any) -> Like:
    """Of what `node` stands for."""
    found: Like = node.meta["like"]
    return found


def record(function: Callable[..., Sequence[Tensor]], example: Sequence[Tensor]) -> GraphModule:
    """A module of one input for each tensor of `example`, that gives what `function` gives.

    Raises RuntimeError where an operation depends on the numbers of its inputs, or writes into those of the function.
    """
    with _Recording(example) as recording:
        found = function(*example)
    recording.graph.output(tuple(recording.node(each) for each in found))
    return GraphModule(recording.root, recording.graph)


def writes(graph: Graph) -> bool:
    """Whether an operation changes a tensor in its place, so that the order of all of them counts."""
    schemas = [getattr(node.target, "_schema", None) for node in graph.nodes]
    return any(schema is not None and schema.is_mutable for schema in schemas)


def _place(value: Tensor) -> tuple[Any, ...]:
    return value.data_ptr(), value.shape, value.stride(), value.dtype, value.device


def _storage(value: Any) -> int | None:
    return value.untyped_storage().data_ptr() if isinstance(value, Tensor) else None


class _Recording(TorchDispatchMode):
    def __init__(self, example: Sequence[Tensor]) -> None:
        super().__init__()
        self.graph, self.root = Graph(), nn.Module()
        self._nodes: dict[int, Node] = {}
        self._places: dict[Any, Node] = {}  # autograd hands some results back as other tensors on the same memory
        self._given = {_storage(each) for each in example}  # not to be written into
        self._alive: list[Any] = []  # a tensor's id is its own while it lives
        for k, each in enumerate(example):
            self._name(each, self.graph.placeholder(f"input_{k}"))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as in work.py

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(tag in func.tags for tag in DATA):
            raise RuntimeError(f"{func} depends on the numbers of its inputs")
        if func._schema.is_mutable and any(_storage(each) in self._given for each in tree_leaves((args, kwargs))[:1]):
            raise RuntimeError(f"{func} writes into an input")
        node = self.graph.call_function(func, *tree_map(self.node, (args, kwargs)))
        found = func(*args, **kwargs)
        self._name(found, node)
        return found

    def node(self, value: Any) -> Any:
        """What stands for `value` in the graph: a tensor that nothing recorded has given is a constant."""
        if not isinstance(value, Tensor):
            return value
        known = self._nodes.get(id(value)) or self._places.get(_place(value))
        if known is None:
            name = f"held_{len(self._nodes)}"
            self.root.register_buffer(name, value, persistent=False)
            known = self.graph.get_attr(name)
            self._name(value, known)
            self._given.add(_storage(value))
        return known

    def _name(self, value: Any, node: Node) -> None:
        self._alive.append(value)
        if isinstance(value, Tensor):
            node.meta["like"] = Like(tuple(value.shape), value.dtype, value.device)
            self._nodes[id(value)] = node
            self._places.setdefault(_place(value), node)
        elif isinstance(value, list | tuple):
            for k, each in enumerate(value):
                if isinstance(each, Tensor):
                    self._name(each, self.graph.call_function(getitem, (node, k)))
