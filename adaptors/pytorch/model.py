"""A loaded PyTorch model: what it takes and gives, how it runs, its content address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch import checks, reading
from autoq.adaptors.pytorch.execution import Execution, record
from autoq.adaptors.pytorch.fingerprint import fingerprint_of
from autoq.adaptors.pytorch.guard import copy_of, guarded
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch.signature import Arguments, Signature, signature_of, spec_of
from autoq.adaptors.pytorch.structure import Structure, structure_of
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Inputs, TensorSpec
from autoq.core.errors import ModelError

_EXAMPLE_SAMPLES = 2


class Form(StrEnum):
    """How a model came."""

    MODULE = "module"
    EXPORTED = "exported program"
    TORCHSCRIPT = "TorchScript"


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A loaded fp32 model. Never changed after loading: whoever changes it works on a copy.

    Attributes:
        module: The user's own module; for an exported program, the module it unlifts to.
        form: How it came.
        inputs: What it takes.
        outputs: What it gives.
        signature: How a batch is bound to ``forward``.
        returns: How ``forward`` nests what it gives.
        example: Arguments of ``forward`` that it ran with: at most two samples, where it runs with so few.
        samples: How many samples the example batch had, as it was given.
        fingerprint: Content address.
        size_bytes: Bytes of its weights.
        execution: What happened inside when it ran on `example`; empty for what has no Python inside (TorchScript).
        notes: What a user should know, by subject.
    """

    module: nn.Module
    form: Form
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signature: Signature
    returns: Structure
    example: Arguments
    samples: int
    fingerprint: str
    size_bytes: int
    execution: Execution = field(default_factory=Execution)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each leaf module is called in one run."""
        return self.execution.calls

    @property
    def order(self) -> tuple[str, ...]:
        """Paths of the leaf modules in the order of their first call."""
        return self.execution.order


def load(source: ModelSource) -> TorchModel:
    """Read a model and run it once on the example batch.

    Raises:
        ModelError: It cannot be read, used, or run; says where and why.
        DataError: The example does not fit its ``forward``.
    """
    with guarded():
        return _load(source)


def _load(source: ModelSource) -> TorchModel:
    read = reading.read(source)
    module, form = read.module, Form(read.form)
    checks.check_weights(module)
    if form is Form.MODULE:
        checks.check_mode(module)
    example = _example_inputs(source, read.example)
    signature, tensors = signature_of(module, example)
    tensors = tuple(t.float() if t.dtype == torch.float64 else t for t in tensors)
    specs = tuple(spec_of(s.name, t) for s, t in zip(signature.inputs, tensors, strict=True))
    if len(read.shapes) == len(specs):
        specs = tuple(_fixed(spec, shape) for spec, shape in zip(specs, read.shapes, strict=True))
    signature = Signature(specs, signature.positional)
    checks.check_example(tensors, signature.names)
    given = int(tensors[0].shape[0])
    ran = _run(module, signature, tensors)
    tensors, outputs = ran.tensors, flatten(ran.raw)
    signature = replace(signature, written=ran.written)
    samples = tensors[0].shape[0]
    notes = {}
    shared = checks.tied(module)
    if shared:
        notes["tied weights"] = "; ".join(f"{first} = {', '.join(others)}" for first, others in shared.items())
    size = sum(p.numel() * p.element_size() for _, p in checks.tensors_of(module))
    return TorchModel(
        module=module,
        form=form,
        inputs=signature.inputs,
        outputs=tuple(spec_of(name, tensor, samples) for name, tensor in outputs.items()),
        signature=signature,
        returns=structure_of(ran.raw),
        example=signature.split([t.clone() for t in tensors]),
        samples=given,
        fingerprint=fingerprint_of(module, signature),
        size_bytes=max(size, 1),
        execution=ran.execution,
        notes=notes,
    )


def _fixed(spec: TensorSpec, shape: tuple[int | None, ...]) -> TensorSpec:
    if spec.shape is None or len(shape) != len(spec.shape):
        return spec
    return TensorSpec(
        spec.name, spec.dtype, tuple(s if s is not None else w for s, w in zip(shape, spec.shape, strict=True))
    )


def _example_inputs(source: ModelSource, own: Inputs | None) -> Inputs:
    if source.example is not None:
        return source.example()
    if own is not None:
        return own
    raise ModelError(
        "a PyTorch model is understood by running it, and there are no data to run it on",
        hint="give quantization.calibration.dataloader, or calib_dataloader from Python",
    )


@dataclass(frozen=True, eq=False)
class _Ran:
    tensors: tuple[Tensor, ...]
    raw: object
    execution: Execution
    written: bool


def _run(module: nn.Module, signature: Signature, tensors: tuple[Tensor, ...]) -> _Ran:
    """Run a copy on few samples, on all when it does not run with few."""
    few = tuple(t[:_EXAMPLE_SAMPLES] for t in tensors)
    fixed = any(spec.shape is not None and isinstance(spec.shape[0], int) for spec in signature.inputs)
    if few[0].shape[0] != tensors[0].shape[0] and not fixed:
        try:
            return _record(module, signature, few)
        except ModelError:
            pass  # it may want a batch of its own size; if not, what it says of the whole batch is told
    return _record(module, signature, tensors)


def _record(module: nn.Module, signature: Signature, tensors: tuple[Tensor, ...]) -> _Ran:
    copies = tuple(t.clone() for t in tensors)
    raw, execution = record(copy_of(module, share_weights=True), *signature.split(copies))
    return _Ran(tensors, raw, execution, any(t._version for t in copies))
