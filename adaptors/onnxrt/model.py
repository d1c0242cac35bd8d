"""A loaded ONNX model: what it takes and gives, its prepared graph, its content address."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, ValueInfoProto

from autoq.adaptors.onnxrt import prepare, reading
from autoq.adaptors.onnxrt.fusion import Fusion, find_ops
from autoq.adaptors.onnxrt.graph import Graph
from autoq.adaptors.onnxrt.session import return_free_memory
from autoq.core.adaptor import ModelSource
from autoq.core.batch import TensorSpec
from autoq.core.errors import AutoqError, ModelError

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
        original_folder: Where external data of an `original` given as bytes lie.
        fusion: The prepared graph every plan is built from, and its quantizable ops.
        inputs: What it takes.
        outputs: What it gives.
        fingerprint: Content address.
        size_bytes: Bytes of the original with its external data.
        notes: What a user should know, e.g. of subgraphs that stay float.
        memo: Results derived from this model that plans share, e.g. quantized weights.
    """

    original: bytes | Path
    original_folder: Path | None
    fusion: Fusion
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fingerprint: str
    size_bytes: int
    notes: tuple[str, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def graph(self) -> Graph:
        """The prepared graph."""
        return self.fusion.graph

    @property
    def proto(self) -> ModelProto:
        """The prepared fp32 model; must not be changed."""
        return self.graph.proto

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
            return bytes(self.graph.proto.SerializeToString())
        proto = ModelProto()
        proto.CopyFrom(self.graph.proto)
        proto.graph.output.extend(ValueInfoProto(name=name) for name in extra)
        return bytes(proto.SerializeToString())


def load(source: ModelSource, also: Container[str] = ()) -> OnnxModel:
    """Read and prepare a model from a path or a ``ModelProto``.

    Args:
        source: Where it is.
        also: Further op types to find; see `find_ops`.

    Raises:
        ModelError: It cannot be read, is invalid, or is quantized already; says why.
    """
    try:
        return _load(source, also)
    except AutoqError:
        raise
    except Exception as error:
        # Damaged files can be valid protobuf and still hold what no ONNX library expects, e.g. names that are not text.
        raise ModelError(
            f"the model is damaged: {type(error).__name__}: {error}",
            where=str(source.model) if isinstance(source.model, str | Path) else "the given model",
            hint="export it again",
        ) from error


def _load(source: ModelSource, also: Container[str]) -> OnnxModel:
    if isinstance(source.model, ModelProto):
        path, where, folder = None, "the given model", None
        reading.check_model(source.model, where)
        proto = ModelProto()
        proto.CopyFrom(source.model)
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
    content = path if path is not None else _bytes(proto, where)
    fingerprint = reading.content_digest(content, external, ("", *source.inputs, "", *source.outputs))
    own = reading.total_bytes(content) if isinstance(content, Path) else len(content)
    size = own + reading.total_bytes(*external)
    if source.inputs or source.outputs:
        proto = prepare.select(proto, source.inputs, source.outputs)
        content = _bytes(proto, where)
    prepared = _prepare(proto, folder if external else None, reading.total_bytes(*external), where)
    return_free_memory()
    graph = prepared.graph
    inner = sum(1 for i in range(len(graph.nodes)) if graph.captured(i))
    notes = (f"{inner} ops with subgraphs (If, Loop, Scan): what is inside them stays float",) if inner else ()
    model = OnnxModel(
        content,
        folder if external and isinstance(content, bytes) else None,
        find_ops(graph, also),
        prepared.inputs,
        prepared.outputs,
        fingerprint,
        size,
        notes,
    )
    if model.folder is not None:
        # The prepared weights of a large model live as long as the model.
        weakref.finalize(model, shutil.rmtree, model.folder, ignore_errors=True)
    return model


@dataclass(frozen=True)
class _Prepared:
    graph: Graph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def _prepare(proto: ModelProto, folder: Path | None, external_bytes: int, where: str) -> _Prepared:
    # Takes `proto` over and empties it, so that a large model is not in memory more often than it has to be.
    large = external_bytes > LARGE_BYTES
    prepare.with_names(proto)
    prepare.without_weights_among_inputs(proto)
    if folder is not None and not large:
        onnx.load_external_data_for_model(proto, str(folder))
    data = _bytes(prepare.converted(proto, where), where)
    proto.Clear()
    workspace = Path(tempfile.mkdtemp(prefix="autoq-onnx-"))
    try:
        result, inputs, outputs = prepare.optimized(data, folder if large else None, workspace, where, large=large)
        graph = prepare.indexed(result, workspace if large else None)
    except BaseException:
        shutil.rmtree(workspace, ignore_errors=True)
        raise
    if not large:
        shutil.rmtree(workspace, ignore_errors=True)
    return _Prepared(graph, inputs, outputs)


def _bytes(proto: ModelProto, where: str) -> bytes:
    try:
        return bytes(proto.SerializeToString())
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
