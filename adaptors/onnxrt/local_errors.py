"""The error each op makes by itself: every quantized op runs twice, in float and on a quantized twin.

The twin reads what the float model computes, and only the error reads the twin, so that no error reaches another op.
Float model, twins and sums are one graph, of which only two numbers per op and batch come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto, NodeProto, TensorProto, helper

from autoq.adaptors.onnxrt.calibrator_segments import Chain, measure_shapes
from autoq.adaptors.onnxrt.fusion import FusedOp, Fusion
from autoq.adaptors.onnxrt.graph import Graph
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.session import SessionSettings, reason
from autoq.calibration.output_error import OutputErrors
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Batch
from autoq.core.errors import AutoqError, DataError, TrialError
from autoq.core.feeding import feed
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration

Build = Callable[[OnnxModel, Plan, Calibration | None], ModelProto]
"""Writes a plan as a model."""

Moves = Callable[[Fusion, int], bool]
"""Whether a node only moves values, so that a builder may quantize what it reads instead of what it gives."""

# Bytes of float outputs compared in one session. Beyond, the graph is cut, which takes less memory and more time.
_BUDGET = 256 << 20

_TWIN = "autoq_twin"
_ENERGY, _DIFFERENCE, _ERROR = "autoq_energy/", "autoq_difference/", "autoq_error/"

# Moving conversions across float nodes would quantize what the float model computes with.
_DISABLED = ("QDQPropagationTransformer",)


def local_errors(
    model: OnnxModel,
    plan: Plan,
    calibration: Calibration | None,
    batches: Iterable[Batch],
    options: RunOptions,
    build: Build,
    moves: Moves = lambda _fusion, _index: False,
    *,
    simulated: bool = False,
) -> Mapping[str, float]:
    """Relative squared error of each quantized op's output when it is fed float inputs, by op id, in one pass.

    Twins run in ONNX Runtime's 8-bit kernels, or simulated: quantized and dequantized around float kernels. Either
    ranks ops; neither scores a plan. Precisions only count: recipes of the plan are left out.

    Args:
        model: The model.
        plan: Which op is quantized, and how.
        calibration: Statistics of what static ops read and make.
        batches: Read once. Sums are float32 within a batch, and float64 over batches.
        options: Threads.
        build: Writes a plan, e.g. in one of ONNX Runtime's formats.
        moves: Nodes that `build` moves conversions across.
        simulated: Whether another runtime's kernels are simulated.

    Raises:
        TrialError: The plan names an unknown op, or statistics are missing.
        DataError: The model fails on the data.
    """
    twins = _twins(model, plan, calibration, moves)
    errors = OutputErrors()
    if not twins.outputs:
        return errors.relative()
    graph = _summed(build(twins.model, twins.plan, twins.calibration), model, twins.outputs)
    settings = SessionSettings(threads=options.threads, disabled=_DISABLED, simulated=simulated)
    chain: Chain | None = None
    for batch in batches:
        fed = feed(batch.inputs, model.inputs)
        sums: dict[str, float] = {}
        try:
            chain = chain or _chain(graph, model, twins.outputs, fed, settings)
            for part in chain.run(fed):
                sums |= {name: float(value) for name, value in part.items()}
        except AutoqError:
            raise
        except Exception as error:
            raise DataError(
                f"the model fails on the calibration data: {reason(error)}",
                hint="check the shapes and the preprocessing of the calibration data",
            ) from error
        for op in twins.outputs:
            errors.add(op, sums[_ERROR + op], sums[_ENERGY + op])
    return errors.relative()


@dataclass(frozen=True, eq=False)
class _Twins:
    """A model in which every quantized op stands twice, and the plan that quantizes its twins.

    Attributes:
        model: Float ops first, then the twins; its outputs are those of the twins.
        plan: Precision by the id of a twin.
        calibration: Also knows what twins give.
        outputs: Output of the float op and of its twin, by op id.
    """

    model: OnnxModel
    plan: Plan
    calibration: Calibration | None
    outputs: Mapping[str, tuple[str, str]]


def _twins(model: OnnxModel, plan: Plan, calibration: Calibration | None, moves: Moves) -> _Twins:
    fusion = model.fusion
    known = {op.id for op in fusion.ops}
    unknown = next((op for op in plan if op not in known), None)
    if unknown is not None:
        raise TrialError("the plan names an op that this model does not have", where=unknown)
    precisions = {_twin(op): precision for op, precision in plan.precisions.items() if not precision.is_float}
    chosen = [op for op in fusion.ops if not plan[op.id].is_float]
    copier = _Copier(fusion, moves)
    ops = tuple(copier.twin_of(op) for op in chosen)
    outputs = {op.id: (op.output, twin.output) for op, twin in zip(chosen, ops, strict=True)}
    graph = copier.graph(tuple(twin.output for twin in ops))
    if calibration is not None:
        found = calibration.tensors
        aliases = {twin: found[own] for own, twin in outputs.values() if own in found}
        calibration = replace(calibration, tensors={**found, **aliases})
    return _Twins(replace(model, fusion=Fusion(graph, ops)), Plan(precisions), calibration, outputs)


def _twin(name: str) -> str:
    return f"{name}/{_TWIN}"


class _Copier:
    """Puts copies of ops behind the nodes of a graph. They read the originals' inputs."""

    def __init__(self, fusion: Fusion, moves: Moves) -> None:
        self._fusion = fusion
        self._moves = moves
        self._nodes: list[NodeProto] = list(fusion.graph.nodes)
        self._copied: dict[str, str] = {}

    def twin_of(self, op: FusedOp) -> FusedOp:
        """The twin of an op, of copied nodes."""
        for name in op.operands:
            self._carry(name)
        made = {name: _twin(name) for index in op.members for name in self._fusion.graph.nodes[index].output if name}
        renamed = {name: self._copied[name] for name in op.operands if name in self._copied} | made
        members = tuple(self._copy(index, renamed) for index in sorted(op.members))
        at = dict(zip(sorted(op.members), members, strict=True))
        return replace(
            op,
            id=_twin(op.id),
            anchor=at[op.anchor],
            members=tuple(at[index] for index in op.members),
            operands=tuple(renamed.get(name, name) for name in op.operands),
            output=made[op.output],
        )

    def graph(self, outputs: Sequence[str]) -> Graph:
        """Originals and copies, with these outputs."""
        source = self._fusion.graph
        whole = source.proto
        proto = ModelProto(ir_version=whole.ir_version, opset_import=whole.opset_import, functions=whole.functions)
        proto.graph.name = whole.graph.name or "graph"
        proto.graph.node.extend(self._nodes)
        proto.graph.input.extend(whole.graph.input)
        proto.graph.initializer.extend(whole.graph.initializer)
        proto.graph.sparse_initializer.extend(whole.graph.sparse_initializer)
        proto.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs)
        types = {**source.types, **{_twin(name): kind for name, kind in source.types.items()}}
        return Graph(proto, source.folder, types)

    def _carry(self, tensor: str) -> None:
        """Copy the nodes that only move values to an operand: its twin may be quantized in front of them."""
        index = self._fusion.graph.producer.get(tensor)
        if index is None or tensor in self._copied or not self._moves(self._fusion, index):
            return
        node = self._fusion.graph.nodes[index]
        self._carry(node.input[0])
        renamed = {node.input[0]: self._copied.get(node.input[0], node.input[0])}
        renamed |= {name: _twin(name) for name in node.output if name}
        self._copy(index, renamed)
        self._copied |= {name: _twin(name) for name in node.output if name}

    def _copy(self, index: int, renamed: Mapping[str, str]) -> int:
        node = NodeProto()
        node.CopyFrom(self._fusion.graph.nodes[index])
        node.name = _twin(node.name)
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        self._nodes.append(node)
        return len(self._nodes) - 1


def _summed(built: ModelProto, model: OnnxModel, outputs: Mapping[str, tuple[str, str]]) -> Graph:
    """The built model with sums behind each pair of outputs, every twin next to its original."""
    nodes = list(built.graph.node)
    for op, (own, twin) in outputs.items():
        nodes += [
            helper.make_node("Sub", [own, twin], [_DIFFERENCE + op], name=_DIFFERENCE + op),
            helper.make_node("ReduceSumSquare", [_DIFFERENCE + op], [_ERROR + op], name=_ERROR + op, keepdims=0),
            helper.make_node("ReduceSumSquare", [own], [_ENERGY + op], name=_ENERGY + op, keepdims=0),
        ]
    ordered = _early(nodes, len(model.graph.nodes))
    built.graph.ClearField("node")
    built.graph.node.extend(ordered)
    types = {**model.graph.types, **{_twin(name): kind for name, kind in model.graph.types.items()}}
    return Graph(built, model.graph.folder, types)


def _early(nodes: Sequence[NodeProto], originals: int) -> list[NodeProto]:
    """Nodes in an order in which each that is added behind the originals runs as soon as it can.

    What reads constants only runs right before its first reader.
    """
    made: dict[str, int] = {}
    places: list[int] = []
    for index, node in enumerate(nodes):
        place = index if index < originals else max((made.get(name, -1) for name in node.input), default=-1)
        places.append(place)
        made.update(dict.fromkeys(node.output, place))
    first: dict[str, int] = {}
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        if places[index] < 0:
            places[index] = min((first[name] for name in node.output if name in first), default=len(nodes))
        for name in node.input:
            first[name] = min(places[index], first.get(name, len(nodes)))
    return [nodes[index] for index in sorted(range(len(nodes)), key=lambda i: (places[i], i))]


def _chain(
    graph: Graph,
    model: OnnxModel,
    outputs: Mapping[str, tuple[str, str]],
    fed: Mapping[str, Array],
    settings: SessionSettings,
) -> Chain:
    """Sessions that hold the tensors of few ops at once; a sum weighs as much as the output it is taken of."""
    observed = [own for own, _ in outputs.values()]
    shapes = measure_shapes(model.graph, observed, fed, settings.threads)
    names = [prefix + op for op in outputs for prefix in (_ERROR, _ENERGY)]
    weights = {_ERROR + op: shapes[own] for op, (own, _) in outputs.items()}
    return Chain(graph, names, weights, _BUDGET, settings)
