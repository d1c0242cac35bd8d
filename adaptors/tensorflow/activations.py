"""Activation functions in a graph, as one node or spelled out in arithmetic.

What is spelled out is recognised by what it computes: the nodes between two tensors are evaluated on a few numbers and
compared with the known functions, so that it does not matter how an exporter writes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.graph import Graph, NodeDef, data_inputs

Values = NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu_exact(x: Values) -> Values:
    return np.asarray(0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))), np.float64)


def _gelu_approximate(x: Values) -> Values:
    return np.asarray(0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))), np.float64)


# Hendrycks and Gimpel, "Gaussian Error Linear Units": exact, and the approximation by tanh.
KNOWN: Mapping[str, Callable[[Values], Values]] = {"GeluExact": _gelu_exact, "GeluApproximate": _gelu_approximate}

SINGLE = frozenset({"Relu", "Relu6", "Tanh", "Sigmoid"})
"""Types of nodes that are an activation function by themselves and that some 8-bit kernel ends with."""

# No spelling of a known function needs more.
_MOST_NODES = 12

# Where the two forms of gelu differ by up to 5e-4, and the slopes of everything else differ more.
_PROBE: Values = np.linspace(-4.0, 4.0, 33)
_CLOSE = 2e-5

_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "Mul": np.multiply,
    "Add": np.add,
    "AddV2": np.add,
    "Sub": np.subtract,
    "RealDiv": np.divide,
    "Pow": np.power,
    "Square": np.square,
    "Neg": np.negative,
    "Tanh": np.tanh,
    "Erf": _erf,
    "Erfc": lambda x: 1.0 - _erf(x),
    "Identity": lambda x: x,
}


@dataclass(frozen=True)
class Activation:
    """An activation function found in a graph.

    Attributes:
        kind: ``Relu``, ``Relu6``, ``Tanh``, ``Sigmoid``, ``GeluExact`` or ``GeluApproximate``.
        members: Names of its nodes, in execution order.
        output: The tensor it leaves behind.
    """

    kind: str
    members: tuple[str, ...]
    output: str


def activation_of(graph: Graph, tensor: str) -> Activation | None:
    """The activation function that is all that reads a tensor; None when there is none."""
    if tensor in graph.outputs:
        return None
    only = graph.only_consumer(tensor)
    if only is not None and only.op in SINGLE:
        return Activation(only.op, (only.name,), f"{only.name}:0")
    return _spelled_out(graph, tensor)


def _spelled_out(graph: Graph, tensor: str) -> Activation | None:
    known: dict[str, Values] = {tensor: _PROBE}
    members: dict[str, NodeDef] = {}
    while len(members) < _MOST_NODES:
        node = _next(graph, known, members)
        if node is None:
            return None
        value = _evaluate(graph, node, known)
        if value is None:
            return None
        members[node.name] = node
        known[f"{node.name}:0"] = value
        if _closed(graph, known, members, f"{node.name}:0"):
            for kind, function in KNOWN.items():
                if np.abs(value - function(_PROBE)).max() <= _CLOSE:
                    names = sorted(members, key=graph.position.__getitem__)
                    return Activation(kind, tuple(names), f"{node.name}:0")
    return None


def _next(graph: Graph, known: Mapping[str, Values], members: Mapping[str, NodeDef]) -> NodeDef | None:
    """The first node, in execution order, that reads a known tensor and otherwise only known ones and numbers."""
    found = {n.name: n for t in known for n in graph.consumers.get(t, ()) if n.name not in members}
    ready = [n for n in found.values() if all(t in known or _number(graph, t) is not None for t in data_inputs(n))]
    return min(ready, key=lambda n: graph.position[n.name]) if ready else None


def _closed(graph: Graph, known: Mapping[str, Values], members: Mapping[str, NodeDef], output: str) -> bool:
    """Whether nothing outside of the members reads what they read or make, but for the output."""
    inner = [t for t in known if t != output]
    return all(t not in graph.outputs and all(n.name in members for n in graph.consumers.get(t, ())) for t in inner)


def _evaluate(graph: Graph, node: NodeDef, known: Mapping[str, Values]) -> Values | None:
    function = _ARITHMETIC.get(node.op)
    if function is None:
        return None
    arguments = [known[t] if t in known else _number(graph, t) for t in data_inputs(node)]
    with np.errstate(all="ignore"):
        return np.asarray(function(*arguments), np.float64)


def _number(graph: Graph, tensor: str) -> float | None:
    value = graph.constant(tensor) if graph.producer(tensor).op in ("Const", "Identity", "Snapshot") else None
    return float(value.reshape(())) if value is not None and value.size == 1 and value.dtype == np.float32 else None
