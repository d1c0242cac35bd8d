"""The error each op of a traced graph makes by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from torch import Tensor, fx, nn

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.local_errors import Twin, graph_errors
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.rounding import Rounding, dynamic_rounding, rounded_weight, static_rounding
from autoq.adaptors.pytorch_fx.graph import FxGraph, FxOp, placed
from autoq.adaptors.pytorch_fx.weights import weights_of
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, OpPrecision
from autoq.core.statistics import Calibration

# Kernels of dynamic modules reduce the range of what they read, needed or not.
_HALF = 127


def local_errors(
    model: TorchModel,
    graph: FxGraph,
    plan: Plan,
    calibration: Calibration | None,
    batches: Iterable[Batch],
    options: RunOptions,
) -> Mapping[str, float]:
    """Relative squared error of each quantized op's output when it is fed float inputs; see `graph_errors`.

    Raises:
        TrialError: The plan names an unknown op, or calibration did not see a tensor.
        DataError: The model fails on the data.
    """
    nodes = {node.name: node for node in graph.fused.graph.nodes}
    twins: list[Twin] = []
    with guarded(options.threads):
        for op_id, precision in plan.precisions.items():
            if op_id not in graph.by_id:
                raise TrialError("the model has no such op", where=op_id)
            if not precision.is_float:
                twins += _twins(graph, graph.by_id[op_id], nodes, precision, calibration)
    return graph_errors(graph.fused, twins, _arguments(model, graph.fused, batches), options.threads)


def _arguments(model: TorchModel, module: nn.Module, batches: Iterable[Batch]) -> Iterator[list[Any]]:
    for batch in batches:
        yield placed(module, *model.signature.bind(batch.inputs))


def _twins(
    graph: FxGraph,
    op: FxOp,
    nodes: Mapping[str, fx.Node],
    precision: OpPrecision,
    calibration: Calibration | None,
) -> Iterator[Twin]:
    for member in op.members:
        weights: dict[str, Tensor] = {}
        parameters: dict[str, dict[str, Tensor]] = {}
        for weight in weights_of(graph, op, member):
            if precision.weight is None:
                break
            rounded = rounded_weight(weight.tensor, precision.weight)
            if weight.parameter is None:
                weights[weight.node] = rounded
            else:
                parameters.setdefault(weight.node, {})[weight.parameter] = rounded
        rounding = _Roundings(graph, precision, calibration)
        operands = {
            source.name: found
            for name in member.nodes
            for source in nodes[name].all_input_nodes
            if source.name not in member.nodes and (found := rounding.of(source)) is not None
        }
        output = rounding.of(nodes[member.last]) if precision.mode is Mode.STATIC else None
        yield Twin(op.id, member.nodes, operands, weights, parameters, output)


class _Roundings:
    """What becomes of the tensors around one op."""

    def __init__(self, graph: FxGraph, precision: OpPrecision, calibration: Calibration | None) -> None:
        self._graph = graph
        self._precision = precision
        self._calibration = calibration

    def of(self, node: fx.Node) -> Rounding | None:
        """The rounding of a node's tensor; None for what is no float activation."""
        name = self._graph.tensors.get(node.name)
        if name is None or node.op == "get_attr":
            return None
        if self._precision.mode is Mode.DYNAMIC:
            return partial(dynamic_rounding, top=_HALF)
        if self._precision.mode is not Mode.STATIC or self._precision.activation is None:
            return None
        return static_rounding(self._calibration, name, self._precision.activation)
