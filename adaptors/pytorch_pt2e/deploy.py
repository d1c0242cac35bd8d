"""Compiling a graph ahead of time, and seeing which kernels came out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import fx
from torch._inductor import config
from torch._inductor.custom_graph_pass import CustomGraphPass

from autoq.adaptors.pytorch.compile import compile_program
from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.package import PACKAGE, PROGRAM, Package, Scratch, load_package
from autoq.adaptors.pytorch.program import save_program
from autoq.adaptors.pytorch.signature import Signature
from autoq.adaptors.pytorch.usability import compiler
from autoq.adaptors.pytorch_pt2e.export import export_program
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel
from autoq.adaptors.pytorch_pt2e.realized import kernels_of
from autoq.adaptors.pytorch_pt2e.torchao import quant_lift_up
from autoq.core.errors import TrialError


@dataclass(frozen=True, eq=False)
class Deployed:
    """A compiled graph.

    Attributes:
        package: The package.
        kernels: Per 8-bit kernel in it, the names of what it reads.
    """

    package: Package
    kernels: tuple[tuple[str, ...], ...]


def compile_graph(graph: fx.GraphModule, model: Pt2eModel, threads: int | None, *, autocast: bool) -> Deployed:
    """Compile a graph for this machine.

    Args:
        graph: Takes the model's inputs in order.
        model: Gives inputs and example.
        threads: Threads its kernels use; None for torch's own number.
        autocast: Under CPU autocast to bfloat16.

    Raises:
        TrialError: It does not compile.
    """
    if compiler() is None:
        raise TrialError("there is no C++ compiler here", hint="install g++, or name one in the environment (CXX)")
    started = time.perf_counter()
    count = threads if threads is not None else torch.get_num_threads()
    scratch = Scratch()
    file, exported = scratch.folder / PACKAGE, scratch.folder / PROGRAM
    flat = Flat(graph, Signature(tuple(model.inputs), len(model.inputs)), autocast=autocast)
    spy = _Spy()
    try:
        with guarded(count):
            program = export_program(flat, model.example)
            save_program(program, exported)
            with compiling(), config.patch({"post_grad_custom_post_pass": spy}):
                compile_program(program, file, count)
    except TrialError:
        raise
    except Exception as error:
        # The compiler raises errors of every kind.
        raise TrialError(f"the plan does not compile: {type(error).__name__}: {first_line(error)}") from error
    package = load_package(file, tuple(model.inputs), count, program=exported, scratch=scratch)
    return Deployed(
        replace(package, seconds=time.perf_counter() - started), tuple(tuple(names) for names in spy.kernels)
    )


@contextmanager
def compiling() -> Iterator[None]:
    """The compiler as torchao wants it: quantization moves before reshapes."""
    with config.patch({"pre_grad_custom_pass": quant_lift_up}):
        yield


@dataclass(eq=False)
class _Spy(CustomGraphPass):  # type: ignore[misc]
    """Looks at the graph just before kernels are written."""

    kernels: list[list[str]] = field(default_factory=list)

    def __call__(self, graph: fx.Graph) -> None:
        self.kernels += kernels_of(graph)

    def uuid(self) -> None:
        """It changes nothing; None keeps the result out of the compiler's cache."""
