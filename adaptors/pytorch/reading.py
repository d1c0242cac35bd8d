"""Where a model comes from: an object, a factory with weights, or a file. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import copy_of, errors_only
from autoq.adaptors.pytorch.program import fixed_size, is_program, load_program
from autoq.adaptors.pytorch.weights import load_weights
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Inputs
from autoq.core.errors import AutoqError, ModelError
from autoq.core.function import is_function_name, load_function

MODULE, EXPORTED, TORCHSCRIPT = "module", "exported program", "TorchScript"


@dataclass(frozen=True)
class Read:
    """A module, how it came, and what came with it.

    Attributes:
        module: The module.
        form: How it came.
        example: The example inputs of an exported program.
        shapes: The shapes an exported program takes, None for an axis of any size; one per input.
    """

    module: nn.Module
    form: str
    example: Inputs | None = None
    shapes: tuple[tuple[int | None, ...], ...] = ()


def read(source: ModelSource) -> Read:
    """The module of a source, with its weights.

    Raises:
        ConfigError: There is no such factory.
        ModelError: The model cannot be read, or its weights do not fit.
    """
    model, weights = source.model, source.options.get("weights")
    if isinstance(model, str) and is_function_name(model):
        found = _of_factory(model, source.options.get("arguments") or {})
    elif isinstance(model, str | Path):
        found = _of_file(Path(model))
    else:
        found = _of_object(model)
    if weights is not None:
        if found.form != MODULE:
            raise ModelError(
                f"an {found.form} holds its own weights, and model.weights gives others",
                where=str(weights),
                hint="remove model.weights",
            )
        if found.module is model:
            found = replace(found, module=_own(found.module))
        load_weights(found.module, Path(weights))
    return found


def _own(module: nn.Module) -> nn.Module:
    """A copy to load weights into: the user's module keeps its own. Training flags stay to be told of."""
    duplicate = copy_of(module)
    for mine, theirs in zip(duplicate.modules(), module.modules(), strict=True):
        mine.training = theirs.training
    return duplicate


def _of_object(model: object) -> Read:
    if isinstance(model, torch.jit.ScriptModule):
        return Read(model, TORCHSCRIPT)
    if isinstance(model, nn.Module):
        return Read(model, MODULE)
    if isinstance(model, torch.export.ExportedProgram):
        return _of_program(model)
    hint = "give a torch.nn.Module, a torch.export program, a file, or 'package.module:factory'"
    if isinstance(model, type) and issubclass(model, nn.Module):
        hint = f"give an instance: {model.__name__}()"
    elif isinstance(model, Mapping):
        hint = "a state dict holds weights without the model: give the module, with the weights loaded into it"
    raise ModelError(f"this is no PyTorch model but a {type(model).__name__}", hint=hint)


def _of_program(program: torch.export.ExportedProgram) -> Read:
    try:
        module = program.module()
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise ModelError(f"the exported program cannot be run: {first_line(error)}") from error
    example = None
    if program.example_inputs is not None:
        args, kwargs = program.example_inputs
        example = [*args, *kwargs.values()]
    return Read(module, EXPORTED, example, _shapes(program))


def _shapes(program: torch.export.ExportedProgram) -> tuple[tuple[int | None, ...], ...]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    tensors = [values.get(name) for name in program.graph_signature.user_inputs if isinstance(name, str)]
    return tuple(
        tuple(fixed_size(size) for size in value.shape) for value in tensors if isinstance(value, torch.Tensor)
    )


def _of_factory(name: str, arguments: Mapping[str, Any]) -> Read:
    with errors_only():  # transformers imports torchao, which says what it cannot load
        made = _call(name, load_function(name), arguments)
    if isinstance(made, nn.Module) and not isinstance(made, torch.jit.ScriptModule):
        # Nobody else holds it, and a job file has no place to say eval().
        return Read(made.eval(), MODULE)
    if isinstance(made, nn.Module | torch.export.ExportedProgram):
        return _of_object(made)
    raise ModelError(
        f"the factory returned a {type(made).__name__} instead of a torch.nn.Module",
        where=name,
        hint="name a function that makes the module, or its class",
    )


def _call(name: str, factory: Callable[..., object], arguments: Mapping[str, Any]) -> object:
    try:
        return factory(**arguments)
    except AutoqError:
        raise
    except Exception as error:
        given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
        raise ModelError(
            f"the factory failed: {type(error).__name__}: {first_line(error)}",
            where=f"{name}({given})",
            hint="check model.arguments",
        ) from error


def _of_file(path: Path) -> Read:
    if path.is_dir():
        raise ModelError(
            "a PyTorch model is a file, and this is a folder",
            where=str(path),
            hint="give a .pt2 of torch.export, a TorchScript file, or package.module:factory and model.weights",
        )
    if not path.exists():
        raise ModelError("there is no such model file", where=str(path), hint="check model.path")
    members = _members(path)
    if is_program(members):
        return _of_program(load_program(path))
    if any("/code/" in m for m in members):
        try:
            return Read(torch.jit.load(path, map_location="cpu"), TORCHSCRIPT)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the TorchScript file cannot be read: {first_line(error)}", where=str(path)) from error
    raise ModelError(_what_it_is(path, members), where=str(path), hint=_FACTORY_HINT)


_FACTORY_HINT = (
    "name a function that makes the model, and the file as its weights: "
    "model: {path: 'package.module:factory', weights: file}; or give a .pt2 of torch.export"
)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []
    except OSError as error:
        raise ModelError(f"the model cannot be read: {error.strerror}", where=str(path)) from error


def _what_it_is(path: Path, members: list[str]) -> str:
    if any(m.endswith("/data.pkl") or m == "data.pkl" for m in members):
        return "this file was written by torch.save: a pickled module or weights, which will not be unpickled"
    if path.suffix == ".safetensors":
        return "this file holds weights, and no model that uses them"
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        return "the model file is empty"
    if start[:1] == b"\x80":
        return "this file is a Python pickle, which will not be unpickled"
    if members:
        return "this archive holds neither an exported program nor TorchScript"
    return "this is neither a .pt2 of torch.export nor a TorchScript file, or it is cut short"
