"""A module of float ops between quantize and dequantize ops, as an ONNX file with a batch of any size."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto, NodeProto
from torch import Tensor, fx, nn

from autoq.adaptors.onnxrt import tensorrt_rules
from autoq.adaptors.onnxrt.export import write
from autoq.adaptors.onnxrt.qdq import ELEMENTWISE, WEIGHTED, QdqGraph
from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.guard import guarded, quiet
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.onnx_passes import prepare, strip_metadata
from autoq.adaptors.pytorch.outputs import to_numpy
from autoq.adaptors.pytorch.reference import Reference
from autoq.adaptors.pytorch.signature import BATCH
from autoq.core.batch import Array, Inputs
from autoq.core.capability import Op
from autoq.core.deployment import DEFAULT_OPSET, ExportedModel, ExportedOp, ExportSettings
from autoq.core.errors import TrialError

_SCOPES = "pkg.torch.onnx.name_scopes"
_IMAGE_AXES = 4
_FIXED = "the exporter could not make the batch dynamic: the file takes batches of {} only"

_NODES: Mapping[str, frozenset[str]] = {
    "Conv": frozenset({"Conv"}),
    "ConvTranspose": frozenset({"ConvTranspose"}),
    "Linear": frozenset({"Gemm", "MatMul"}),
    "MatMul": frozenset({"MatMul"}),
    "LSTM": frozenset({"LSTM"}),
    "GRU": frozenset({"GRU"}),
    "Embedding": frozenset({"Gather"}),
}


def export(reference: Reference, model: TorchModel, file: Path, settings: ExportSettings) -> ExportedModel:
    """Write a reference as an ONNX file.

    Raises:
        TrialError: The exporter cannot carry the model.
    """
    program, notes = _program(reference.module, model, settings.opset)
    proto: ModelProto = program.model_proto
    named = _by_op(proto, reference.ops)
    prepare(proto, tensorrt=settings.profile == "tensorrt")
    _name_batch(proto)
    strip_metadata(proto)
    write(proto, file)
    graph = QdqGraph(proto)
    ops = tuple(
        ExportedOp(op, node.name, graph.result(node), op in reference.quantized and graph.is_quantized(node))
        for node in graph.nodes
        if (op := named.get(node.name)) is not None
    )
    rules, broken = tensorrt_rules.checked(proto) if settings.profile == "tensorrt" else ((), ())
    return ExportedModel(file, ops, (*reference.notes, *notes), rules, broken)


def tensors_of(reference: Reference, model: TorchModel, tensors: Sequence[str], inputs: Inputs) -> Mapping[str, Array]:
    """What the tensors of the exported file hold when PyTorch computes them; those it has no name for are left out."""
    program, _ = _program(reference.module, model, DEFAULT_OPSET)
    graph_module = program.exported_program.module(check_guards=False)
    values = model.signature.tensors(inputs)
    with guarded():
        recorder = _Recorder(graph_module, frozenset(tensors))
        outputs = recorder.run(*values)
    named = {spec.name: to_numpy(t) for spec, t in zip(model.outputs, outputs, strict=True)}
    return {**recorder.found, **{name: array for name, array in named.items() if name in tensors}}


class _Recorder(fx.Interpreter):  # type: ignore[misc]
    """Runs a graph and keeps what the named nodes give."""

    def __init__(self, module: fx.GraphModule, wanted: frozenset[str]) -> None:
        super().__init__(module)
        self._wanted = wanted
        self.found: dict[str, Array] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self._wanted and isinstance(value, Tensor):
            self.found[n.name] = to_numpy(value)
        return value


def _program(module: nn.Module, model: TorchModel, opset: int) -> tuple[Any, tuple[str, ...]]:
    """The exported program: with every axis that may change, with the batch only, or with the sizes of the example."""
    example = tuple(_two(t) for t in (*model.example[0], *model.example[1].values()))
    names = [spec.name for spec in model.inputs], [spec.name for spec in model.outputs]
    flat = Flat(module, model.signature)
    attempts = [[_axes(t, every=True) for t in example], [_axes(t, every=False) for t in example], None]
    failure: Exception | None = None
    for shapes in attempts:
        try:
            with guarded(), quiet(), redirect_stdout(io.StringIO()):
                program = torch.onnx.export(
                    flat,
                    example,
                    input_names=names[0],
                    output_names=names[1],
                    opset_version=opset,
                    dynamo=True,
                    dynamic_shapes=(tuple(shapes),) if shapes is not None else None,
                    verbose=False,
                )
        except Exception as error:  # noqa: BLE001 - whatever the exporter stumbles over, the next attempt asks for less
            failure = failure or error
        else:
            notes = () if shapes is not None else (_FIXED.format(example[0].shape[0]),)
            return program, notes
    raise TrialError(
        f"torch.onnx cannot export this model: {first_line(_cause(failure))}",
        hint="leave the section deployment out, or rewrite what it names",
    ) from failure


def _cause(error: BaseException | None) -> Exception:
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def _axes(tensor: Tensor, *, every: bool) -> dict[int, Any]:
    every = every and tensor.ndim < _IMAGE_AXES
    auto = torch.export.Dim.AUTO
    return {axis: auto for axis in range(tensor.ndim) if axis == 0 or (every and tensor.shape[axis] > 1)}


def _two(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor]) if tensor.shape[0] == 1 else tensor.clone()


def _name_batch(proto: ModelProto) -> None:
    """Call the first axis of every input and output the batch, wherever it is not fixed."""
    renamed = {
        value.type.tensor_type.shape.dim[0].dim_param: BATCH
        for value in proto.graph.input
        if len(value.type.tensor_type.shape.dim) and value.type.tensor_type.shape.dim[0].dim_param
    }
    for value in (*proto.graph.input, *proto.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in renamed:
                size.dim_param = renamed[size.dim_param]


def _by_op(proto: ModelProto, ops: Sequence[Op]) -> dict[str, str]:
    """Op id by node name. An op without a module of its own is found in the module that encloses it, in order."""
    graph = QdqGraph(proto)
    free = [
        (node, _scope(node))
        for node in graph.nodes
        if node.op_type in WEIGHTED | ELEMENTWISE | {"LSTM", "GRU", "Gather"}
    ]

    def fits(op: Op, node: NodeProto) -> bool:
        if node.op_type not in _kinds(op.type) or node.name in found:
            return False
        return node.op_type != "MatMul" or (op.type == "Linear") == graph.has_weight(node)

    found: dict[str, str] = {}
    places: tuple[Callable[[str, str], bool], ...] = (
        lambda op, at: at == op,
        lambda op, at: at.startswith(f"{op}."),  # a module that holds what is fused
        lambda op, at: at == op.rpartition(".")[0],
    )
    for lies in places:
        for op in ops:
            if op.id in found.values():
                continue
            match = next((n for n, at in free if fits(op, n) and lies(op.id, at)), None)
            if match is not None:
                found[match.name] = op.id
    # A graph that was traced may have lost where its functions were called: they are told by their order.
    for op_type in dict.fromkeys(op.type for op in ops):
        unnamed = [op for op in ops if op.type == op_type and op.id not in found.values()]
        nodes = [node for node, _ in free if unnamed and fits(unnamed[0], node)]
        if len(unnamed) == len(nodes):
            found |= {node.name: op.id for node, op in zip(nodes, unnamed, strict=True)}
    return found


def _kinds(op_type: str) -> frozenset[str]:
    return _NODES.get(op_type.rstrip("123d"), _NODES.get(op_type, frozenset({op_type.capitalize()})))


def _scope(node: NodeProto) -> str:
    """Path of the module a node was exported from."""
    text = next((p.value for p in node.metadata_props if p.key == _SCOPES), "[]")
    try:
        scopes = [str(scope) for scope in ast.literal_eval(text)]
    except (ValueError, SyntaxError):
        return ""
    path = scopes[-2] if len(scopes) > 1 else ""
    return path.removeprefix("model.") if path != "model" else ""
