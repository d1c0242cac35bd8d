"""A loaded float model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from autoq.adaptors.tensorflow_lite.graph import Graph
from autoq.adaptors.tensorflow_lite.ops import LiteOp, find_ops
from autoq.core.batch import TensorSpec


@dataclass(frozen=True)
class Interface:
    """How a model is called.

    Attributes:
        inputs: What it takes, by the names of its signature, in order.
        outputs: What it gives, by the names of its signature, in order.
        fed: Place of each input among those of the file.
        fetched: Place of each output among those of the file.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fed: tuple[int, ...]
    fetched: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "inputs": [[s.name, s.dtype, s.shape] for s in self.inputs],
            "outputs": [[s.name, s.dtype, s.shape] for s in self.outputs],
            "fed": list(self.fed),
            "fetched": list(self.fetched),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Interface:
        """Rebuild from `to_json`."""
        return cls(
            tuple(TensorSpec(name, dtype, tuple(shape)) for name, dtype, shape in data["inputs"]),
            tuple(TensorSpec(name, dtype, tuple(shape)) for name, dtype, shape in data["outputs"]),
            tuple(data["fed"]),
            tuple(data["fetched"]),
        )


@dataclass(frozen=True, eq=False)
class LiteModel:
    """A loaded float32 model. Never changed after loading.

    Attributes:
        content: The ``.tflite`` file.
        graph: Its ops and tensors.
        interface: How it is called.
        fingerprint: Content address of the file and of the choice of inputs and outputs.
        notes: What a user should know.
        memo: Results derived from this model that plans share.
    """

    content: bytes
    graph: Graph
    interface: Interface
    fingerprint: str
    notes: tuple[str, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""
        return self.interface.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""
        return self.interface.outputs

    @property
    def size_bytes(self) -> int:
        """Bytes of the file."""
        return len(self.content)

    @cached_property
    def ops(self) -> tuple[LiteOp, ...]:
        """Its quantizable ops, in execution order."""
        return find_ops(self.graph)

    @cached_property
    def ops_by_id(self) -> dict[str, LiteOp]:
        """Quantizable op by id."""
        return {op.id: op for op in self.ops}
