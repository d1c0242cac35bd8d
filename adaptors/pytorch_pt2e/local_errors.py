"""The error each op of an exported graph makes by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, fx

from autoq.adaptors.pytorch.local_errors import Twin, graph_errors
from autoq.adaptors.pytorch.rounding import Rounding, dynamic_rounding, rounded_weight, static_rounding
from autoq.adaptors.pytorch_pt2e.graph import tensor_of
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.adaptors.pytorch_pt2e.ops import GraphOp
from autoq.adaptors.pytorch_pt2e.quantizer import FOLLOWERS
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, OpPrecision
from autoq.core.statistics import Calibration


def local_errors(
    model: Pt2eModel, plan: Plan, calibration: Calibration | None, batches: Iterable[Batch], options: RunOptions
) -> Mapping[str, float]:
    """Relative squared error of each quantized op's output when it is fed float inputs; see `graph_errors`.

    Raises:
        TrialError: The plan names an unknown op, or calibration did not see a tensor.
        DataError: The model fails on the data.
    """
    nodes = {node.name: node for node in model.graph.graph.nodes}
    twins = []
    for op_id, precision in plan.precisions.items():
        if op_id not in model.ops.by_id:
            raise TrialError("the model has no such op", where=op_id)
        if not precision.is_float:
            twins.append(_twin(model, model.ops.by_id[op_id], nodes, precision, calibration))
    runs = (model.torch.signature.tensors(batch.inputs) for batch in batches)
    return graph_errors(model.graph, twins, runs, options.threads)


def _twin(
    model: Pt2eModel,
    op: GraphOp,
    nodes: Mapping[str, fx.Node],
    precision: OpPrecision,
    calibration: Calibration | None,
) -> Twin:
    static = precision.activation if precision.mode is Mode.STATIC else None
    operands: dict[str, Rounding] = {}
    output: Rounding | None = None
    if static is None:
        # What a fused sum adds stays in float there.
        operands[op.operands[0]] = dynamic_rounding
    else:
        operands |= {name: static_rounding(calibration, name, static) for name in op.operands}
        if op.type in FOLLOWERS:
            output = static_rounding(calibration, op.output, static)
    return Twin(op.id, op.members, operands, _weights(model, op, nodes, precision), output=output)


def _weights(model: Pt2eModel, op: GraphOp, nodes: Mapping[str, fx.Node], precision: OpPrecision) -> dict[str, Tensor]:
    if op.weight is None or precision.weight is None:
        return {}
    held = nodes[op.node].args[1]
    weight = tensor_of(model.graph, held)
    assert isinstance(held, fx.Node)
    return {} if weight is None else {held.name: rounded_weight(weight, precision.weight)}
