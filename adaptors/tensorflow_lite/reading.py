"""Reading a model: a ``.tflite`` file as it is, anything of TensorFlow's by converting it once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoq.adaptors.tensorflow_lite.graph import FLOAT32, Graph, ModelT, graph_of, op_type, parse, write
from autoq.adaptors.tensorflow_lite.model import Interface, LiteModel
from autoq.adaptors.tensorflow_lite.names import unique_names
from autoq.adaptors.tensorflow_lite.runtime import make_interpreter, reason
from autoq.core.adaptor import ModelSource
from autoq.core.batch import TensorSpec
from autoq.core.errors import MissingDependencyError, ModelError
from autoq.core.suggest import did_you_mean

_MAGIC = b"TFL3"
_DEFAULT = "serving_default"
_NUMBERS = {"float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool"}
_INTEGERS = {"int2", "int4", "int8", "uint4", "uint8", "int16"}
_CONTROL_FLOW = {"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE"}


def load(source: ModelSource) -> LiteModel:
    """Read a model.

    Args:
        source: A ``.tflite`` file, its bytes, or a folder with one such file; else whatever the TensorFlow adaptor
            reads (Keras models, SavedModel folders, frozen graphs, concrete functions), which is converted.
            ``options["signature"]`` chooses among several signatures.

    Raises:
        ModelError: It cannot be read, converted or quantized; says why.
        MissingDependencyError: It has to be converted, and TensorFlow is not installed.
    """
    model = source.model
    if isinstance(model, bytes | bytearray | memoryview):
        return _checked(bytes(model), source, "the given bytes")
    if isinstance(model, str | Path):
        path = Path(model)
        if not path.exists():
            raise ModelError("there is no such model file", where=str(path), hint="check model.path")
        inside = sorted(path.glob("*.tflite")) if path.is_dir() and not (path / "saved_model.pb").exists() else []
        if len(inside) == 1:
            (path,) = inside
        if path.is_file() and (path.suffix == ".tflite" or _starts_as_tflite(path)):
            return _checked(_bytes(path), source, str(path))
    try:
        # Only here: a .tflite model is read without TensorFlow.
        from autoq.adaptors.tensorflow_lite.convert import convert
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"converting a model to LiteRT needs the package '{error.name}', which is not installed",
            hint="pip install 'autoq[tensorflow]', or give a .tflite file",
        ) from error
    content, notes = convert(source)
    return _checked(content, ModelSource(None), "the converted model", notes)


def interface_of(graph: Graph, signature: Any | None) -> Interface:
    """How a file is called: by the names of its signature, else by those of its tensors.

    Raises:
        ModelError: An input or output is not a tensor of numbers.
    """
    places = ({t: p for p, t in enumerate(graph.inputs)}, {t: p for p, t in enumerate(graph.outputs)})
    if signature is None:
        named = [[(graph.tensors[t].name, t) for t in side] for side in (graph.inputs, graph.outputs)]
    else:
        named = [[(_text(e.name), int(e.tensorIndex)) for e in side] for side in (signature.inputs, signature.outputs)]
    specs = [tuple(_spec(graph, name, index) for name, index in side) for side in named]
    fed, fetched = (tuple(at[index] for _, index in side) for at, side in zip(places, named, strict=True))
    return Interface(specs[0], specs[1], fed, fetched)


def signature_of(model: ModelT, chosen: str | None, where: str) -> Any | None:
    """The signature to use; None where the file has none.

    Raises:
        ModelError: There are several and none is chosen, or the chosen one does not exist.
    """
    found = {_text(s.signatureKey): s for s in model.signatureDefs or ()}
    listed = ", ".join(found) or "none"
    if chosen is not None:
        if chosen not in found:
            raise ModelError(f"the model has no signature '{chosen}'", where=where, hint=f"its signatures: {listed}")
        return found[chosen]
    if len(found) > 1 and _DEFAULT not in found:
        raise ModelError(
            f"the model has several signatures: {listed}", where=where, hint="choose one with model.signature"
        )
    return found.get(_DEFAULT) or next(iter(found.values()), None)


def parsed(content: bytes, where: str) -> ModelT:
    """The objects of a file that LiteRT can run.

    Raises:
        ModelError: The file is damaged, or has an op LiteRT lacks.
    """
    if content[4:8] != _MAGIC:
        raise ModelError("this is not a .tflite model, or it is damaged", where=where, hint=_guess(content))
    try:
        model = parse(content)
        custom = dict.fromkeys(op_type(model, op) for g in model.subgraphs for op in g.operators)
    except Exception as error:
        raise ModelError(f"the .tflite model is damaged: {reason(error)}", where=where) from error
    foreign = [name.removeprefix("CUSTOM:") for name in custom if name.startswith("CUSTOM:")]
    if foreign:
        raise ModelError(
            f"the model has ops that LiteRT itself cannot run: {', '.join(foreign)}",
            where=where,
            hint="convert it with built-in ops only (no SELECT_TF_OPS, no custom ops)",
        )
    return model


@contextmanager
def damage_told(where: str) -> Iterator[None]:
    """Report what only a damaged file leads to: numbers that point nowhere.

    Raises:
        ModelError: The file is damaged.
    """
    try:
        yield
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the .tflite model is damaged: {reason(error)}", where=where) from error


def _checked(content: bytes, source: ModelSource, where: str, notes: Sequence[str] = ()) -> LiteModel:
    with damage_told(where):
        return _model(content, source, where, notes)


def _model(content: bytes, source: ModelSource, where: str, notes: Sequence[str]) -> LiteModel:
    model = parsed(content, where)
    signature = signature_of(model, source.options.get("signature"), where)
    changed = _single_subgraph(model, signature, where)
    if unique_names(model) or changed:
        content = write(model)
    graph = graph_of(model)
    _check_floats(graph)
    interface = _selected(interface_of(graph, signature), source)
    try:
        make_interpreter(content)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"LiteRT cannot load the model: {reason(error)}", where=where) from error
    digest = hashlib.sha256(content)
    digest.update(repr((interface.fed, interface.fetched)).encode())
    return LiteModel(content, graph, interface, digest.hexdigest()[:16], tuple(notes))


def _single_subgraph(model: ModelT, signature: Any | None, where: str) -> bool:
    """Leave only the subgraph of a signature; whether anything changed."""
    if len(model.subgraphs) == 1:
        return False
    branching = next(
        (
            (op_type(model, op), g, op)
            for g in model.subgraphs
            for op in g.operators
            if op_type(model, op) in _CONTROL_FLOW
        ),
        None,
    )
    if branching is not None:
        kind, subgraph, op = branching
        name = _text(subgraph.tensors[op.outputs[0]].name) if len(op.outputs) else kind
        raise ModelError(
            f"the model has control flow ({kind}), which is not quantized",
            where=name,
            hint="export it without loops and branches, e.g. with unrolled recurrent layers",
        )
    if signature is None:
        raise ModelError(f"the model has {len(model.subgraphs)} subgraphs and no signature", where=where)
    model.subgraphs = [model.subgraphs[signature.subgraphIndex]]
    signature.subgraphIndex = 0
    model.signatureDefs = [signature]
    return True


def _check_floats(graph: Graph) -> None:
    for node in graph.nodes:
        for index in (*node.inputs, *node.outputs):
            tensor = graph.tensors[index] if index >= 0 else None
            if tensor is None:
                continue
            if tensor.type in _INTEGERS and tensor.scales:
                raise ModelError(
                    f"the model is quantized already: {node.type} works on {tensor.type}",
                    where=node.name,
                    hint="give the float32 model it was made from",
                )
            if tensor.type == "float16" and tensor.constant:
                raise ModelError(
                    f"the weights are float16 already ({node.type})",
                    where=node.name,
                    hint="convert the model without float16 weights",
                )


def _selected(interface: Interface, source: ModelSource) -> Interface:
    """The inputs and outputs a job names, in its order."""
    inputs = _chosen(source.inputs, interface.inputs, interface.fed, "input")
    outputs = _chosen(source.outputs, interface.outputs, interface.fetched, "output")
    if len(inputs) != len(interface.inputs):
        missing = next(s.name for s in interface.inputs if s.name not in source.inputs)
        raise ModelError(f"model.inputs leaves out '{missing}', which the model needs", where=missing)
    return Interface(
        tuple(s for s, _ in inputs),
        tuple(s for s, _ in outputs),
        tuple(p for _, p in inputs),
        tuple(p for _, p in outputs),
    )


def _chosen(
    names: Sequence[str], specs: Sequence[TensorSpec], places: Sequence[int], what: str
) -> list[tuple[TensorSpec, int]]:
    known = {spec.name: (spec, place) for spec, place in zip(specs, places, strict=True)}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise ModelError(f"the model has no {what} '{unknown}'", hint=did_you_mean(unknown, known))
    return [known[name] for name in names or known]


def _spec(graph: Graph, name: str, index: int) -> TensorSpec:
    tensor = graph.tensors[index]
    if tensor.type not in _NUMBERS:
        raise ModelError(
            f"'{name}' is a tensor of type {tensor.type}, and only numbers can be fed or scored",
            where=name,
            hint="give the model without its text processing, e.g. with token ids as input",
        )
    return TensorSpec(name, FLOAT32 if tensor.type == FLOAT32 else tensor.type, tensor.shape)


def _starts_as_tflite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == _MAGIC


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"the model cannot be read: {error.strerror}", where=str(path)) from error


def _guess(data: bytes) -> str | None:
    known = {
        b"PK\x03\x04": "it looks like a zip archive, e.g. a .keras file: give it that ending",
        b"\x89HDF": "it looks like HDF5 (Keras): give it the ending .h5",
        b"version https://git-lfs": "it is a Git LFS pointer; run `git lfs pull`",
    }
    return next((hint for magic, hint in known.items() if data.startswith(magic)), None)


def _text(name: bytes | str | None) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name or ""
