"""The error each op of a graph makes by itself: where it runs in float, it runs once more with rounded tensors.

What the second run computes is compared and dropped, so that no error reaches another op. Quantized tensors are
simulated: they hold floats that lie on the grid. That ranks ops; it does not score a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import functional_call

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.rounding import Rounding
from autoq.calibration.output_error import OutputErrors
from autoq.core.errors import AutoqError, DataError


@dataclass(frozen=True, eq=False)
class Twin:
    """How one call of an op runs a second time.

    Attributes:
        op_id: The op.
        nodes: Names of its nodes in the float graph, in execution order.
        operands: What it reads quantized, by the name of the node it comes from.
        weights: Rounded weights by the name of their get_attr node.
        parameters: Rounded parameters of the module that a node calls, by name of the node and of the parameter.
        output: What its result is rounded to; None where it is left in float.
    """

    op_id: str
    nodes: tuple[str, ...]
    operands: Mapping[str, Rounding] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    output: Rounding | None = None


def graph_errors(
    graph: fx.GraphModule, twins: Iterable[Twin], runs: Iterable[Iterable[Any]], threads: int | None
) -> Mapping[str, float]:
    """Relative squared error of each op's output when it is fed what the float graph computes, by op id.

    Args:
        graph: The float graph; it is only run.
        twins: The quantized ops; calls of one op are added up.
        runs: Arguments of the graph in the order of its placeholders, batch by batch; read once.
        threads: Intra-op threads.

    Raises:
        DataError: The graph fails on the data.
    """
    errors = OutputErrors()
    interpreter = _Twice(graph, twins, errors)
    for arguments in runs:
        with guarded(threads):
            try:
                interpreter.run(*arguments)
            except AutoqError:
                raise
            except Exception as error:
                raise DataError(
                    f"the model fails on the calibration data: {type(error).__name__}: {first_line(error)}",
                    where=interpreter.place,
                    hint="check the shapes and the preprocessing of the calibration data",
                ) from error
    return errors.relative()


def add_difference(errors: OutputErrors, op_id: str, expected: Any, found: Any) -> None:
    """Compare what an op gives; of several tensors (a recurrent module's output and states) the first."""
    own, other = first_tensor(expected), first_tensor(found)
    if own is None or other is None or not own.is_floating_point():
        return
    other = other.dequantize() if other.is_quantized else other
    own, other = own.detach(), other.detach()
    # Sums of float32 products are made in parts by the framework; over batches they are added in float64.
    errors.add(op_id, float(torch.sum((own - other).square())), float(torch.sum(own.square())))


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of a nested result."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple | list) and value:
        return first_tensor(value[0])
    return None


class _Twice(fx.Interpreter):  # type: ignore[misc]
    """Runs a float graph, and each quantized op once more."""

    def __init__(self, graph: fx.GraphModule, twins: Iterable[Twin], errors: OutputErrors) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.place: str | None = None
        self._errors = errors
        self._twins = {name: twin for twin in twins for name in twin.nodes}
        self._made: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The float result; the twin goes first, since the float op may write into what it reads."""
        twin = self._twins.get(n.name)
        self.place = n.name if twin is None else twin.op_id
        if twin is None:
            return super().run_node(n)
        self._made[n.name] = self._again(n, twin)
        result = super().run_node(n)
        if n.name == twin.nodes[-1]:
            found = self._made[n.name]
            if twin.output is not None and isinstance(found, Tensor):
                found = twin.output(found)
            add_difference(self._errors, twin.op_id, result, found)
            for name in twin.nodes:
                self._made.pop(name, None)
        return result

    def _again(self, node: fx.Node, twin: Twin) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda source: self._read(source, twin))
        parameters = twin.parameters.get(node.name)
        if node.op == "call_module" and parameters:
            return functional_call(self.fetch_attr(str(node.target)), dict(parameters), args, kwargs)
        return getattr(self, node.op)(node.target, args, kwargs)

    def _read(self, source: fx.Node, twin: Twin) -> Any:
        if source.name in self._made:
            return self._made[source.name]
        if source.name in twin.weights:
            return twin.weights[source.name]
        value, rounding = self.env[source], twin.operands.get(source.name)
        if isinstance(value, Tensor):
            return rounding(value) if rounding is not None else value.clone()
        return value
