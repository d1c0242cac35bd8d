"""The error each op makes by itself: every quantized op runs twice, in float and on a quantized twin.

The twin reads what the float model computes, and only the error reads the twin, so that no error reaches another op.
Float model, twins and sums are one graph, of which only two numbers per op and batch come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autoq.adaptors.tensorflow.build import build
from autoq.adaptors.tensorflow.candidate import checked
from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion
from autoq.adaptors.tensorflow.graph import Graph, GraphDef, NodeDef, node_name, tensor_name
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.runtime import tf
from autoq.adaptors.tensorflow.session import FAILURES, GraphSession, SessionSettings, reason
from autoq.calibration.output_error import OutputErrors
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import DataError, TrialError
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration

_TWIN = "autoq_twin"


def local_errors(
    model: TensorFlowModel,
    plan: Plan,
    calibration: Calibration | None,
    batches: Iterable[Batch],
    options: RunOptions,
) -> Mapping[str, float]:
    """Relative squared error of each quantized op's output when it is fed float inputs, by op id, in one pass.

    Sums are float32 within a batch, and float64 over batches. Precisions only count: recipes are left out.

    Raises:
        TrialError: The plan names an unknown op, or statistics are missing.
        DataError: The model fails on the data.
    """
    unknown = next((op for op in plan if op not in model.fusion.by_id), None)
    if unknown is not None:
        raise TrialError("the plan names an op that this model does not have", where=unknown)
    chosen = [op for op in model.fusion.ops if not plan[op.id].is_float]
    errors = OutputErrors()
    if not chosen:
        return errors.relative()
    proto, fetches = _summed(_with_twins(model, plan, calibration, chosen), chosen)
    session: GraphSession | None = None
    try:
        settings = SessionSettings(options.threads)
        session = GraphSession(proto, model.frozen.input_tensors, fetches, settings)
        for batch in batches:
            sums = [float(value) for value in session.run(checked(batch.inputs, model.inputs))]
            for op, difference, energy in zip(chosen, sums[::2], sums[1::2], strict=True):
                errors.add(op.id, 2 * difference, 2 * energy)
    except DataError:
        raise
    except FAILURES as error:
        raise DataError(
            f"the model fails on the calibration data: {reason(error)}",
            hint="check the shapes and the preprocessing of the calibration data",
        ) from error
    finally:
        if session is not None:
            session.close()
    return errors.relative()


def _with_twins(
    model: TensorFlowModel, plan: Plan, calibration: Calibration | None, chosen: Sequence[FusedOp]
) -> GraphDef:
    """The float graph, and behind it the twins, in 8 bits."""
    source = model.graph
    proto = tf.compat.v1.GraphDef()
    proto.CopyFrom(source.proto)
    twins: list[FusedOp] = []
    for op in chosen:
        for name in op.members:
            _copy(proto, source.by_name[name], set(op.members))
        twins.append(
            replace(op, id=_twin(op.id), members=tuple(map(_twin, op.members)), output=_twin_tensor(op.output))
        )
    graph = Graph(proto, source.inputs, tuple(twin.output for twin in twins))
    if calibration is not None:
        seen = calibration.tensors
        known = {_twin_tensor(op.output): seen[op.output] for op in chosen if op.output in seen}
        calibration = replace(calibration, tensors={**seen, **known})
    twin_plan = Plan({_twin(op.id): plan[op.id] for op in chosen})
    return build(replace(model, fusion=Fusion(graph, twins), memo={}), twin_plan, calibration)


def _copy(proto: GraphDef, node: NodeDef, renamed: set[str]) -> None:
    made = proto.node.add()
    made.CopyFrom(node)
    made.name = _twin(node.name)
    made.input[:] = [_twin_tensor(tensor_name(n)) if node_name(n) in renamed else n for n in node.input]


def _twin(name: str) -> str:
    return f"{name}/{_TWIN}"


def _twin_tensor(tensor: str) -> str:
    node, _, number = tensor.partition(":")
    return f"{_twin(node)}:{number}"


def _summed(proto: GraphDef, chosen: Sequence[FusedOp]) -> tuple[GraphDef, list[str]]:
    """The graph with half the squared error and half the energy of every op's output, which are to be fetched."""
    fetches: list[str] = []
    for op in chosen:
        difference = f"{op.id}/{_TWIN}_difference"
        _add(proto, "Sub", difference, [op.output, _twin_tensor(op.output)])
        for name, tensor in ((f"{op.id}/{_TWIN}_error", f"{difference}:0"), (f"{op.id}/{_TWIN}_energy", op.output)):
            _add(proto, "L2Loss", name, [tensor])
            fetches.append(f"{name}:0")
    return proto, fetches


def _add(proto: GraphDef, op: str, name: str, inputs: Sequence[str]) -> None:
    node = proto.node.add(op=op, name=name, input=inputs)
    node.attr["T"].type = tf.float32.as_datatype_enum
