"""Exported programs on disk, read without unpickling."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import torch
from torch.utils._pytree import tree_map

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import quiet
from autoq.core.errors import AutoqError, ModelError

_AGAIN = "save it again with torch.export.save of this torch version, from a model of plain tensors"


def is_program(members: list[str]) -> bool:
    """Whether the members of an archive are those of an exported program."""
    return any("/models/" in name for name in members)


def load_program(path: Path) -> torch.export.ExportedProgram:
    """Read a ``.pt2`` file.

    Raises:
        ModelError: It is damaged, or holds something that would have to be unpickled, or compiled code.
    """
    try:
        _refuse_pickles(path)
        with quiet():
            return torch.export.load(path)
    except AutoqError:
        raise
    except Exception as error:
        # What a damaged file makes the reader do has no end: every kind of error was seen.
        raise ModelError(
            f"the exported program cannot be read: {type(error).__name__}: {first_line(error)}",
            where=str(path),
            hint=_AGAIN,
        ) from error


def fixed_size(size: int | torch.SymInt) -> int | None:
    """The size of an axis in an exported graph, None when it is open.

    An axis that was left open, and that the model turned out to need at one size, is still a symbol there.
    """
    return size if isinstance(size, int) else size.node.maybe_as_int()


def save_program(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program, with zeros for its example inputs: those are samples of the user's data."""
    example = program.example_inputs
    program.example_inputs = tree_map(lambda x: torch.zeros_like(x) if isinstance(x, torch.Tensor) else x, example)
    try:
        with quiet():
            torch.export.save(program, path)
    finally:
        program.example_inputs = example


def _refuse_pickles(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inner = name.partition("/")[2]
            if inner.startswith("data/aotinductor/"):
                raise ModelError(
                    "this file holds compiled code", where=str(path), hint="give the exported program it was made of"
                )
            if inner.endswith(("_weights_config.json", "_constants_config.json")):
                for key, entry in json.loads(archive.read(name))["config"].items():
                    if entry.get("use_pickle") or not entry["path_name"].startswith(("weight_", "tensor_")):
                        raise ModelError(
                            f"'{key}' is stored as a pickle, which will not be unpickled", where=str(path), hint=_AGAIN
                        )
            elif inner.startswith(("data/weights/", "data/constants/")) and inner.endswith(".pt"):
                raise ModelError("its weights are in an old, pickled form", where=str(path), hint=_AGAIN)
            elif inner.startswith("data/sample_inputs/"):
                _refuse_unsafe(archive.read(name), path)


def _refuse_unsafe(data: bytes, path: Path) -> None:
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            "its example inputs are more than tensors, and will not be unpickled", where=str(path), hint=_AGAIN
        ) from error
