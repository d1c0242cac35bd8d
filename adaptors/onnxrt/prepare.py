"""From any ONNX model to the form the rest of the adaptor works on.

Names for all nodes, opset 13 or later, constants folded, batch normalizations and paddings merged into their
convolutions. The folding is ONNX Runtime's own, at its basic level, which writes standard operators only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnx.shape_inference
import onnx.version_converter
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from autoq.adaptors.onnxrt.graph import Graph, Shape, free_names, opset_of, subgraphs
from autoq.adaptors.onnxrt.session import MATMUL_ADD_FUSION, SessionSettings, make_session, reason, specs
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError
from autoq.core.suggest import did_you_mean

# QuantizeLinear with one scale per channel came with opset 13; conversions go to one well-tried version.
MINIMUM_OPSET = 13
TARGET_OPSET = 17

_SMALL = 1024


def select(proto: ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    """The part of a model that computes `outputs` from `inputs`; empty means the model's own.

    Raises:
        ModelError: A name does not exist, or an input that is needed was left out.
    """
    graph = proto.graph
    declared = {o.name: o for o in graph.output}
    known = {v.name: v for v in (*graph.value_info, *graph.output)}
    made = {name for node in graph.node for name in node.output if name}
    for name in outputs:
        if name not in made and name not in declared:
            raise ModelError(f"the model has no output '{name}'", hint=did_you_mean(name, (*declared, *sorted(made))))
    weights = {t.name for t in graph.initializer}
    given = {i.name: i for i in graph.input}
    for name in inputs:
        if name not in given:
            raise ModelError(f"the model has no input '{name}'", hint=did_you_mean(name, given))
    wanted = list(outputs) or list(declared)
    needed, nodes = set(wanted), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(n for n in node.input if n)
            needed.update(name for g in subgraphs(node) for name in free_names(g))
    open_inputs = [n for n in given if n in needed and n not in weights]
    missing = [n for n in open_inputs if inputs and n not in inputs]
    if missing:
        raise ModelError(f"the outputs need the input '{missing[0]}', which was not chosen", hint="add it to inputs")
    chosen = ModelProto()
    chosen.CopyFrom(proto)
    for field in ("node", "input", "output"):
        chosen.graph.ClearField(field)
    chosen.graph.node.extend(reversed(nodes))
    chosen.graph.input.extend(given[n] for n in (inputs or open_inputs))
    chosen.graph.output.extend(known.get(n, ValueInfoProto(name=n)) for n in wanted)
    return chosen


def with_names(proto: ModelProto) -> None:
    """Give every node a name of its own: unnamed ones ``type_index``, repeated ones a suffix."""
    taken = Counter(node.name for node in proto.graph.node if node.name)
    seen: set[str] = set()
    for index, node in enumerate(proto.graph.node):
        name = node.name or f"{node.op_type}_{index}"
        while name in seen or (not node.name and name in taken):
            name = f"{name}_{index}"
        seen.add(name)
        node.name = name


def without_weights_among_inputs(proto: ModelProto) -> None:
    """Old exports list their weights as inputs too, which would make them variables."""
    weights = {t.name for t in proto.graph.initializer}
    kept = [i for i in proto.graph.input if i.name not in weights]
    if len(kept) != len(proto.graph.input):
        proto.graph.ClearField("input")
        proto.graph.input.extend(kept)
    proto.ir_version = max(proto.ir_version, 8)


def converted(proto: ModelProto, where: str) -> ModelProto:
    """The model at an opset that quantization needs.

    Raises:
        ModelError: It is older, and cannot be converted.
    """
    if opset_of(proto) >= MINIMUM_OPSET or not opset_of(proto):
        return proto
    try:
        return onnx.version_converter.convert_version(proto, TARGET_OPSET)
    except Exception as error:
        raise ModelError(
            f"the model uses opset {opset_of(proto)} and cannot be converted to {TARGET_OPSET}: {reason(error)}",
            where=where,
            hint=f"export it again with opset {TARGET_OPSET}",
        ) from error


def optimized(
    model: bytes, folder: Path | None, workspace: Path, where: str, *, large: bool
) -> tuple[ModelProto, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What ONNX Runtime's basic optimizations make of a model, and the inputs and outputs it has.

    Args:
        model: The model.
        folder: Where its external data lie.
        workspace: A folder to write to; holds the weights of a `large` model.
        where: Named in errors.
        large: Keep the weights in a file.

    Raises:
        ModelError: ONNX Runtime cannot load it.
    """
    target = workspace / "prepared.onnx"
    settings = SessionSettings(
        threads=1,
        optimize=False,
        optimized=target,
        weights="prepared.data" if large else None,
        folder=folder,
        disabled=(MATMUL_ADD_FUSION,),
    )
    try:
        session = make_session(model, settings)
        inputs, outputs = specs(session.get_inputs()), specs(session.get_outputs())
        del session  # its weights are released before the result's are read
        result = onnx.load(target, load_external_data=False)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"ONNX Runtime cannot load this model: {reason(error)}", where=where, hint=_hint(error)
        ) from error
    finally:
        target.unlink(missing_ok=True)
    used = {node.domain for node in result.graph.node} | {"", *_inner_domains(result)}
    imports = [o for o in result.opset_import if o.domain in used]
    result.ClearField("opset_import")
    result.opset_import.extend(imports)
    with_names(result)
    return result, inputs, outputs


def indexed(proto: ModelProto, folder: Path | None) -> Graph:
    """A prepared model with the types and shapes of its tensors, as far as they can be inferred."""
    skeleton = ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    graph = skeleton.graph
    graph.name = "skeleton"
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.value_info.extend(proto.graph.value_info)
    for tensor in proto.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL and tensor.ByteSize() <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
    except Exception:  # noqa: BLE001 - without inference the declared types remain, and ops of unknown type stay float
        inferred = skeleton
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    types = {v.name: (v.type.tensor_type.elem_type, _shape(v)) for v in values if v.type.HasField("tensor_type")}
    return Graph(proto, folder, types)


def _shape(value: ValueInfoProto) -> Shape | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)


def _inner_domains(proto: ModelProto) -> set[str]:
    found: set[str] = set()
    pending = [g for node in proto.graph.node for g in subgraphs(node)]
    while pending:
        graph = pending.pop()
        found.update(node.domain for node in graph.node)
        pending.extend(g for node in graph.node for g in subgraphs(node))
    return found | {f.domain for f in proto.functions}


def _hint(error: Exception) -> str | None:
    text = str(error)
    if "is not a registered function/op" in text or ("Fatal error" in text and "is not a registered" in text):
        return "it uses an operator this ONNX Runtime does not have; export it with standard operators"
    if "Unsupported model IR version" in text or "opset" in text.lower():
        return "install a newer onnxruntime, or export the model with an older opset"
    return None
