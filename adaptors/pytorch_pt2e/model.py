"""A loaded model with its float graph and its ops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor, fx

from autoq.adaptors.pytorch import model as shared
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import Form, TorchModel
from autoq.adaptors.pytorch_pt2e.export import example_for, export, fixed_axes
from autoq.adaptors.pytorch_pt2e.graph import normalized
from autoq.adaptors.pytorch_pt2e.ops import Ops, find_ops
from autoq.core.adaptor import ModelSource
from autoq.core.batch import TensorSpec
from autoq.core.digest import digest_of
from autoq.core.errors import ModelError


@dataclass(frozen=True, eq=False)
class Pt2eModel:
    """A model as this route sees it. Never changed after loading.

    Attributes:
        torch: The user's module, and what it takes and gives. Sizes the graph was made for are fixed in its inputs.
        graph: The normalized float graph; takes the inputs in order, returns a tuple of the outputs in order.
        ops: Its ops.
        notes: What a user should know, by subject.
    """

    torch: TorchModel
    graph: fx.GraphModule
    ops: Ops
    notes: Mapping[str, str]

    @cached_property
    def fingerprint(self) -> str:
        """Content address of module and graph: calibration names tensors by nodes of the graph."""
        return digest_of({"model": self.torch.fingerprint, "graph": str(self.graph.graph)})

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What it takes."""
        return self.torch.inputs

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """What it gives."""
        return self.torch.outputs

    @property
    def size_bytes(self) -> int:
        """Bytes of its weights."""
        return self.torch.size_bytes

    @property
    def example(self) -> tuple[Tensor, ...]:
        """Example inputs in order."""
        args, kwargs = self.torch.example
        return example_for(self.inputs, (*args, *kwargs.values()))


def load(source: ModelSource) -> Pt2eModel:
    """Read a model and export it.

    Raises:
        ModelError: It cannot be read, run or exported; says where and why.
        DataError: The example does not fit its ``forward``.
    """
    model = shared.load(source)
    if model.form is Form.TORCHSCRIPT:
        raise ModelError(
            "torch.export does not take TorchScript models",
            where=type(model.module).__name__,
            hint="give the Python module (model.path: package.module:factory), or framework: pytorch_eager",
        )
    with guarded():
        graph = normalized(export(model))
    inputs = fixed_axes(graph, model.inputs)
    signature = replace(model.signature, inputs=inputs)
    return Pt2eModel(replace(model, inputs=inputs, signature=signature), graph, find_ops(graph), _notes(model, inputs))


def _notes(model: TorchModel, inputs: Sequence[TensorSpec]) -> Mapping[str, str]:
    fixed = [spec for spec in inputs if spec.shape and isinstance(spec.shape[0], int)]
    if not fixed:
        return model.notes
    told = ", ".join(f"{spec.name}: {spec.shape[0]}" for spec in fixed if spec.shape)
    return {**model.notes, "batch": f"this model works on batches of one size only ({told})"}
