"""Export and ahead-of-time compilation, with a batch of any size where the model allows it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.guard import guarded, quiet
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.package import PACKAGE, PROGRAM, Package, Scratch, load_package
from autoq.adaptors.pytorch.program import fixed_size, save_program
from autoq.adaptors.pytorch.signature import BATCH
from autoq.adaptors.pytorch.usability import compiler
from autoq.core.batch import TensorSpec
from autoq.core.errors import TrialError

_IMAGE_AXES = 4


def export(
    module: nn.Module, model: TorchModel, *, autocast: bool = False
) -> tuple[torch.export.ExportedProgram, tuple[TensorSpec, ...], tuple[str, ...]]:
    """Capture a module as a graph, with a batch, and texts and series, of any size where the model allows it.

    Args:
        module: Has the model's ``forward``.
        model: Gives signature and example.
        autocast: Capture it under CPU autocast to bfloat16.

    Returns:
        The program, which takes the inputs in order and returns a tuple of outputs in order; what it takes; and notes.

    Raises:
        TrialError: The module cannot be captured, e.g. for control flow that depends on data.
    """
    flat = Flat(module, model.signature, autocast=autocast)
    args, kwargs = model.example
    program = _captured(flat, _two_samples((*args, *kwargs.values())))
    inputs = _sizes(program, model.inputs)
    if not any(spec.shape and isinstance(spec.shape[0], int) for spec in inputs):
        return program, inputs, ()
    own = tuple(_of_length(t, model.samples) for t in (*args, *kwargs.values()))
    program = _captured(flat, own, fixed=True)
    note = f"compiled for batches of exactly {model.samples}: its code computes with the size of the batch"
    return program, _sizes(program, model.inputs), (note,)


def _captured(flat: Flat, example: tuple[Tensor, ...], *, fixed: bool = False) -> torch.export.ExportedProgram:
    shapes = None if fixed else (tuple(_open_axes(t) for t in example),)
    try:
        with quiet():
            return torch.export.export(flat, example, dynamic_shapes=shapes)
    except Exception as error:
        raise TrialError(
            f"torch.export cannot capture the model: {type(error).__name__}: {first_line(error)}",
            where=_place(error),
            hint="control flow that depends on data, or on shapes, cannot be compiled; run it uncompiled",
        ) from error


def _open_axes(tensor: Tensor) -> dict[int, object]:
    """The batch may change; of token ids, series and the like every axis, where the model allows it."""
    axes = [0] if tensor.ndim >= _IMAGE_AXES else [axis for axis in range(tensor.ndim) if tensor.shape[axis] > 1]
    return dict.fromkeys(axes, torch.export.Dim.AUTO)


def compile_package(module: nn.Module, model: TorchModel, threads: int | None, *, autocast: bool = False) -> Package:
    """Compile a module ahead of time for this machine.

    Args:
        module: Has the model's ``forward``.
        model: Gives signature and example.
        threads: Threads its kernels use; None for torch's own number.
        autocast: Under CPU autocast to bfloat16.

    Raises:
        TrialError: It cannot be captured or compiled, or there is no C++ compiler.
    """
    if compiler() is None:
        raise TrialError(
            "there is no C++ compiler here",
            hint="install g++, or name another compiler in the environment variable CXX",
        )
    started = time.perf_counter()
    count = threads if threads is not None else torch.get_num_threads()
    scratch = Scratch()
    file, exported = scratch.folder / PACKAGE, scratch.folder / PROGRAM
    with guarded(count):
        program, inputs, notes = export(module, model, autocast=autocast)
        try:
            save_program(program, exported)
            compile_program(program, file, count)
        except Exception as error:
            raise TrialError(
                f"the model does not compile: {type(error).__name__}: {first_line(error)}", where=_place(error)
            ) from error
    package = load_package(file, inputs, count, program=exported, notes=notes, scratch=scratch)
    return replace(package, seconds=time.perf_counter() - started)


def compile_program(program: torch.export.ExportedProgram, file: Path, threads: int) -> None:
    """Write the AOTInductor package of a program."""
    from torch._inductor import config  # as much to import as torch itself, and rarely needed

    with quiet(), torch.no_grad(), config.patch(_settings(threads)):
        torch._inductor.aoti_compile_and_package(program, package_path=str(file))


def _settings(threads: int) -> dict[str, object]:
    # Freezing folds constants and packs weights. One compiler process at a time: tuning may share the machine.
    # The compiler writes into the metadata it finds; here it finds some of its own.
    return {"freezing": True, "compile_threads": 1, "cpp.threads": threads, "aot_inductor.metadata": {}}


def _two_samples(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """A batch of two: an axis of one counts as fixed."""
    return tuple(torch.cat([t, t]) if t.shape[0] == 1 else t for t in tensors)


def _of_length(tensor: Tensor, samples: int) -> Tensor:
    return torch.cat([tensor] * -(-samples // len(tensor)))[:samples]


def _sizes(program: torch.export.ExportedProgram, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The inputs with the sizes the program was captured for; the axes it left open stay open."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    shapes = [values[str(name)].shape for name in program.graph_signature.user_inputs]
    return tuple(
        TensorSpec(spec.name, spec.dtype, tuple(_size(axis, size) for axis, size in enumerate(shape)))
        for spec, shape in zip(specs, shapes, strict=True)
    )


def _size(axis: int, size: int | torch.SymInt) -> int | str:
    fixed = fixed_size(size)
    if fixed is not None:
        return fixed
    return str(size) if axis else BATCH  # axes of one symbol must be equal


def _place(error: BaseException) -> str | None:
    """The line of the user's code that the exporter names."""
    lines = [line.strip() for line in str(error).splitlines()]
    found = [line for line in lines if line.startswith('File "') and "/torch/" not in line]
    if not found:
        return None
    path, _, rest = found[-1].removeprefix('File "').partition('", line ')
    return f"{path}:{rest.partition(',')[0].strip()}"
