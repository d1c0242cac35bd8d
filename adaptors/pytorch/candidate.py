"""A PyTorch model built from a plan, ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.compile import compile_package
from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import running
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.native import Native
from autoq.adaptors.pytorch.outputs import flatten, to_numpy
from autoq.adaptors.pytorch.package import Package
from autoq.adaptors.pytorch.signature import Signature
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs, Outputs, TensorSpec
from autoq.core.errors import AutoqError, TrialError
from autoq.core.plan import Plan


@dataclass(eq=False)
class TorchCandidate:
    """Runs a module, or anything called like one.

    Attributes:
        run: Takes the arguments of the model's ``forward``, returns what it returns.
        signature: What it takes.
        outputs: What it gives; names and order of what `predict` returns.
        plan: What was asked for.
        realized: What really runs.
        native: What the user holds: called as the original, returns what it returns.
        size_bytes: Bytes its saved form takes.
        options: Threads.
        record: What ``tuning.json`` says of its ops: precision, scales, zero points; by op id.
        notes: What a user should know of it.
        model: What it was built from, to save it; None for one that was loaded.
    """

    run: Callable[..., Any]
    signature: Signature
    outputs: tuple[TensorSpec, ...]
    plan: Plan
    realized: Plan
    native: nn.Module
    size_bytes: int
    options: RunOptions = field(default_factory=RunOptions)
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    model: TorchModel | None = None

    def predict(self, inputs: Inputs) -> Outputs:
        """Run one batch.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The model failed.
        """
        args, kwargs = self.signature.bind(inputs)
        with running(self.options.threads):
            try:
                found = flatten(self.run(*args, **kwargs))
            except AutoqError:
                raise
            except Exception as error:
                raise TrialError(f"the model failed: {type(error).__name__}: {first_line(error)}") from error
            return {name: to_numpy(tensor) for name, tensor in found.items()}

    def close(self) -> None:
        """Release the model."""
        self.run = _closed


def _closed(*_: Any, **__: Any) -> Any:
    raise TrialError("this candidate was closed")


def module_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers as they are saved, quantized ones in their packed form."""
    seen: set[int] = set()
    return sum(_bytes(value, seen) for value in module.state_dict().values())


def _bytes(value: Any, seen: set[int]) -> int:
    if isinstance(value, tuple | list):
        return sum(_bytes(v, seen) for v in value)
    if isinstance(value, torch.ScriptObject):
        return _bytes(value.__getstate__(), seen)
    if not isinstance(value, Tensor):
        return 0
    if not value.is_quantized:
        if value.data_ptr() in seen:
            return 0  # tied weights are saved once
        seen.add(value.data_ptr())
    size: int = value.numel() * value.element_size()
    if value.is_quantized and value.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams):
        size += 16 * value.q_per_channel_scales().numel()
    return size


@dataclass(eq=False, kw_only=True)
class CompiledCandidate(TorchCandidate):
    """Runs an AOTInductor package.

    Attributes:
        package: The package; `TorchCandidate.run` and `TorchCandidate.native` call it.
    """

    package: Package


@dataclass(eq=False, kw_only=True)
class CompilableCandidate(TorchCandidate):
    """Scored uncompiled, deployed compiled.

    Attributes:
        autocast: Compile under CPU autocast to bfloat16.
        read_back: What is realized in a package; without it, the same as here.
    """

    autocast: bool = False
    read_back: Callable[[Package], Plan] | None = None
    _compiled: CompiledCandidate | None = field(default=None, init=False, repr=False)

    def compiled(self) -> CompiledCandidate:
        """The deployed form: one package, compiled the first time.

        Raises:
            TrialError: It does not compile.
        """
        if self._compiled is None:
            assert self.model is not None
            package = compile_package(self.native, self.model, self.options.threads, autocast=self.autocast)
            self._compiled = compiled_candidate(self, package)
        return self._compiled

    @property
    def compile_seconds(self) -> float | None:
        """What compiling took; None before."""
        return self._compiled.package.seconds if self._compiled is not None else None

    def close(self) -> None:
        """Release the model and its compiled form."""
        super().close()
        if self._compiled is not None:
            self._compiled.close()


def compiled_candidate(source: CompilableCandidate, package: Package) -> CompiledCandidate:
    """The deployed form of a candidate."""
    assert source.model is not None
    names = [spec.name for spec in source.outputs]
    signature = source.signature
    threads = source.options.threads

    def run(*args: Tensor, **kwargs: Tensor) -> dict[str, Tensor]:
        tensors = (*args, *(kwargs[name] for name in signature.names[signature.positional :]))
        return dict(zip(names, package(*tensors), strict=True))

    return CompiledCandidate(
        run=run,
        signature=signature,
        outputs=source.outputs,
        plan=source.plan,
        realized=source.read_back(package) if source.read_back is not None else source.realized,
        native=Native(package, replace(signature, inputs=package.inputs), source.model.returns, threads=threads),
        size_bytes=package.size_bytes,
        options=source.options,
        record=source.record,
        notes=(*source.notes, *package.notes),
        model=source.model,
        package=package,
    )
