"""A loaded ONNX model: what it takes and gives, its prepared graph, its content address."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import ModelProto, ValueInfoProto

from autoq.adaptors.onnxrt import prepare, reading
from autoq.adaptors.onnxrt.graph import Graph
from autoq.adaptors.onnxrt.session import SessionSettings, make_session, reason, specs
from autoq.core.adaptor import ModelSource
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError

# Above this, weights stay in files and are memory-mapped; below, everything is in memory.
LARGE_BYTES = 1 << 30

_QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeLinear", "MatMulNBits"}
)


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A loaded fp32 model. Never changed after loading.

    Attributes:
        original: The model as given, before any preparation: a path, or its bytes.
        graph: The prepared graph every plan is built from.
        inputs: What it takes.
        outputs: What it gives.
        fingerprint: Content address.
        size_bytes: Bytes of the original with its external data.
        notes: What a user should know, e.g. of subgraphs that stay float.
        memo: Results derived from this model that plans share, e.g. quantized weights.
    """

    original: bytes | Path
    graph: Graph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fingerprint: str
    size_bytes: int
    notes: tuple[str, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    _workspace: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def folder(self) -> Path | None:
        """Where external data of the prepared graph lie; None when it holds all data itself."""
        return self.graph.folder

    def serialize(self, extra_outputs: Sequence[str] = ()) -> bytes:
        """The prepared fp32 model, with intermediate tensors as further outputs.

        Bytes for a session that is given `folder`. Names that are outputs already are not repeated.
        """
        own = self.graph.outputs
        extra = [name for name in dict.fromkeys(extra_outputs) if name not in own]
        if not extra:
            return self.graph.proto.SerializeToString()
        proto = ModelProto()
        proto.CopyFrom(self.graph.proto)
        proto.graph.output.extend(ValueInfoProto(name=name) for name in extra)
        return proto.SerializeToString()


def load(source: ModelSource) -> OnnxModel:
    """Read and prepare a model from a path or a ``ModelProto``.

    Raises:
        ModelError: It cannot be read, is invalid, or is quantized already; says why.
    """
    if isinstance(source.model, ModelProto):
        path, where, folder = None, "the given model", None
        proto = source.model
        reading.check_model(proto, where)
    elif isinstance(source.model, str | Path):
        path = reading.model_path(Path(source.model))
        where, folder = str(path), path.parent
        proto = reading.read_model(path)
    else:
        raise ModelError(
            f"an ONNX model is a path or an onnx.ModelProto, not a {type(source.model).__name__}",
            hint="export the model to ONNX first, e.g. with torch.onnx.export",
        )
    external = reading.external_files(proto, folder)
    _refuse_quantized(proto, where)
    selected = bool(source.inputs or source.outputs)
    if selected:
        proto = prepare.select(proto, source.inputs, source.outputs)
    original = path if path is not None and not selected else _bytes(proto, where)
    files = (path,) if path is not None else ()
    fingerprint = reading.content_digest(
        path if path is not None else _bytes(proto, where), external, ("", *source.inputs, "", *source.outputs)
    )
    size = reading.total_bytes(*files, *external) if path is not None else len(_bytes(proto, where))
    graph, workspace = _prepare(proto, folder if external else None, reading.total_bytes(*external), where)
    try:
        session = make_session(original, SessionSettings(threads=1, optimize=False, folder=folder if external else None))
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load this model: {reason(error)}", where=where) from error
    inputs, outputs = specs(session.get_inputs()), specs(session.get_outputs())
    inner = sum(1 for i in range(len(graph.nodes)) if graph.captured(i))
    notes = (f"{inner} ops with subgraphs (If, Loop, Scan): what is inside them stays float",) if inner else ()
    return OnnxModel(original, graph, inputs, outputs, fingerprint, size, notes, {}, workspace)


def _prepare(
    proto: ModelProto, folder: Path | None, external_bytes: int, where: str
) -> tuple[Graph, tempfile.TemporaryDirectory[str] | None]:
    large = external_bytes > LARGE_BYTES
    prepared = ModelProto()
    prepared.CopyFrom(proto)
    prepare.with_names(prepared)
    prepare.without_weights_among_inputs(prepared)
    workspace = tempfile.TemporaryDirectory(prefix="autoq-onnx-", ignore_cleanup_errors=True)
    prepared = prepare.converted(prepared, where)
    result = prepare.optimized(_bytes(prepared, where), folder, Path(workspace.name), where, large=large)
    if large:
        return prepare.indexed(result, Path(workspace.name)), workspace
    workspace.cleanup()
    return prepare.indexed(result, None), None


def _bytes(proto: ModelProto, where: str) -> bytes:
    try:
        return proto.SerializeToString()
    except Exception as error:
        raise ModelError(
            f"the model cannot be written as one file: {error}",
            where=where,
            hint="models beyond 2 GB need external data: onnx.save(model, path, save_as_external_data=True)",
        ) from error


def _refuse_quantized(proto: ModelProto, where: str) -> None:
    for node in proto.graph.node:
        if node.op_type in _QUANTIZED or node.op_type.startswith("QLinear") or node.op_type.startswith("QGemm"):
            raise ModelError(
                f"the model is quantized already: node '{node.name}' is a {node.op_type}",
                where=where,
                hint="tune the fp32 model it was made from",
            )
