"""A model compiled ahead of time: one file that is measured, scored, saved and loaded alike."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import quiet
from autoq.adaptors.pytorch.signature import check_shape
from autoq.core.batch import TensorSpec
from autoq.core.errors import DataError, ModelError

PACKAGE = "model.aoti.pt2"
PROGRAM = "model.pt2"


class Scratch:
    """A temporary folder that lives as long as this object."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="autoq-torch-"))
        self._drop = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class Package:
    """An AOTInductor package, loaded.

    Attributes:
        path: Its file.
        inputs: What it takes: the compiled code reads memory by these shapes without looking at the tensors.
        threads: Threads its kernels were compiled for.
        seconds: What compiling took; None when it was loaded from a file.
        program: File of the exported program it was compiled from; None when that is not there.
        notes: What a user should know of it.
        scratch: Owner of the files, where they live as long as this package.
    """

    path: Path
    inputs: tuple[TensorSpec, ...]
    threads: int
    seconds: float | None = None
    program: Path | None = None
    notes: tuple[str, ...] = ()
    scratch: Scratch | None = None
    runner: Any = field(default=None, repr=False)

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Outputs in order.

        Raises:
            DataError: A tensor has another shape than the package was compiled for, or two that must agree differ.
        """
        sizes: dict[str, int] = {}
        for spec, tensor in zip(self.inputs, tensors, strict=True):
            check_shape(spec, tensor, "this axis has one size in the compiled model: pad samples to it")
            for name, size in zip(spec.shape or (), tensor.shape, strict=True):
                if isinstance(name, str) and sizes.setdefault(name, size) != size:
                    raise DataError(f"this input has {size} where another has {sizes[name]}", where=spec.name)
        return tuple(self.runner(*(t.contiguous() for t in tensors)))

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


def load_package(path: Path, inputs: Sequence[TensorSpec], threads: int, **known: Any) -> Package:
    """Load a package.

    Args:
        path: Its file.
        inputs: What it takes.
        threads: Threads its kernels were compiled for.
        known: Further attributes of the `Package`.

    Raises:
        ModelError: It cannot be loaded, e.g. on a machine with other instructions.
    """
    try:
        with quiet():
            runner = torch._inductor.aoti_load_package(str(path))
    except (RuntimeError, OSError) as error:
        raise ModelError(
            f"the compiled model cannot be loaded here: {first_line(error)}",
            where=str(path),
            hint="it runs on the processor family and torch version it was compiled with: tune again on this machine",
        ) from error
    return Package(path, tuple(inputs), threads, runner=runner, **known)
