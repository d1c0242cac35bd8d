"""Reading an ONNX file: what is wrong with it, where its weights lie, what identifies its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, TensorProto

from autoq.adaptors.onnxrt.graph import subgraphs
from autoq.core.errors import ModelError

_BLOCK = 1 << 22


def model_path(path: Path) -> Path:
    """The model file: the path itself, or the only ``.onnx`` file of a folder.

    Raises:
        ModelError: There is no such file, or no single one.
    """
    if path.is_dir():
        found = sorted(path.glob("*.onnx"))
        if len(found) != 1:
            names = ", ".join(f.name for f in found[:6]) or "none"
            raise ModelError(f"the folder must hold exactly one .onnx file; it holds: {names}", where=str(path))
        return found[0]
    if not path.exists():
        raise ModelError("there is no such model file", where=str(path), hint="check model.path")
    return path


def read_model(path: Path) -> ModelProto:
    """Parse a file, leaving external data where they are.

    Raises:
        ModelError: It cannot be read, is empty, not ONNX, or truncated.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the model cannot be read: {error.strerror}", where=str(path)) from error
    if not data:
        raise ModelError("the model file is empty", where=str(path))
    try:
        proto = ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError("this is not an ONNX model, or it is truncated", where=str(path), hint=_guess(data)) from error
    check_model(proto, str(path))
    return proto


def check_model(proto: ModelProto, where: str) -> None:
    """What a readable protobuf must have to be a model.

    Raises:
        ModelError: It has no graph, or does not say which operators it uses.
    """
    if not proto.HasField("graph") or not proto.graph.node:
        raise ModelError("the ONNX model holds no graph nodes", where=where)
    if not proto.opset_import:
        raise ModelError("the ONNX model does not say which operator set it uses", where=where)
    if not proto.graph.output:
        raise ModelError("the ONNX model has no outputs", where=where)


def external_files(proto: ModelProto, folder: Path | None) -> tuple[Path, ...]:
    """Files that hold weights of a model, each once.

    Raises:
        ModelError: One is missing or too short, or lies outside of the model's folder.
    """
    ends: dict[str, int] = {}
    for tensor in _tensors(proto.graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            entry = {e.key: e.value for e in tensor.external_data}
            location = entry.get("location", "")
            try:
                end = int(entry.get("offset", 0)) + int(entry.get("length", 0))
            except ValueError as error:
                raise ModelError("the place of external data is not a number", where=tensor.name) from error
            ends[location] = max(ends.get(location, 0), end)
    if ends and folder is None:
        raise ModelError(
            f"the weights lie in another file ({next(iter(ends))}), and a model given as an object has no folder",
            hint="give the path of the model, or load its external data first",
        )
    found = []
    for location, end in ends.items():
        assert folder is not None
        path = folder / location
        if not location or Path(location).is_absolute() or ".." in Path(location).parts:
            raise ModelError(f"external data must lie beside the model, not at '{location}'", where=str(folder))
        if not path.is_file():
            raise ModelError(
                f"the file '{location}' with the model's external data is missing",
                where=str(path),
                hint="copy it beside the model file",
            )
        if path.stat().st_size < end:
            raise ModelError(
                f"the file '{location}' with the model's external data is too short: "
                f"{path.stat().st_size} bytes, and the model reads up to byte {end}",
                where=str(path),
            )
        found.append(path)
    return tuple(found)


def external_bytes(proto: ModelProto) -> int:
    """Bytes of the weights a model keeps in other files."""
    entries = (e for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL for e in t.external_data)
    return sum(int(e.value) for e in entries if e.key == "length")


def content_digest(data: bytes | Path, external: tuple[Path, ...], selection: tuple[str, ...]) -> str:
    """Content address of a model, its external data and the inputs and outputs chosen."""
    digest = hashlib.sha256()
    for part in (data, *external):
        if isinstance(part, bytes):
            digest.update(part)
        else:
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    digest.update("\0".join(selection).encode())
    return digest.hexdigest()[:16]


def total_bytes(*files: Path) -> int:
    """Bytes of all files together."""
    return sum(f.stat().st_size for f in files)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for item in node.attribute:
            if item.HasField("t"):
                yield item.t
            yield from item.tensors
        for inner in subgraphs(node):
            yield from _tensors(inner)


def _guess(data: bytes) -> str | None:
    known = {
        b"PK\x03\x04": "it looks like a zip archive or a PyTorch checkpoint; export the model to ONNX first",
        b"\x80": "it looks like a Python pickle; export the model to ONNX first",
        b"\x89HDF": "it looks like HDF5 (Keras); convert the model to ONNX first",
        b"version https://git-lfs": "it is a Git LFS pointer; run `git lfs pull`",
    }
    return next((hint for magic, hint in known.items() if data.startswith(magic)), None)
