"""What the deployment gate asks of backends: exporting a tuned model, and running the exported file elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from autoq.core.adaptor import Model, RunOptions
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.file_format import FileFormat
from autoq.core.plan import Plan
from autoq.core.registry import ADAPTORS
from autoq.core.statistics import Calibration

RUNTIMES: Mapping[str, str] = {"onnxrt": "onnxrt_qdq", "openvino": "openvino", "litert": "tensorflow_lite"}
"""Runtimes an exported model is scored in, and the adaptor that runs it there."""

FORMATS: Mapping[str, FileFormat] = {
    "onnxrt": FileFormat.ONNX,
    "openvino": FileFormat.ONNX,
    "litert": FileFormat.TFLITE,
}
"""What each runtime reads."""


def runtimes_of(framework: str) -> tuple[str, ...]:
    """Runtimes that read what a framework's plans can be exported as."""
    return tuple(name for name, kind in FORMATS.items() if kind in ADAPTORS[framework].exports)


DEFAULT_OPSET = 21
"""ONNX opset of exported models: the first in which every 8-bit form we write is standard."""

OPSETS = (13, 25)
"""Oldest and newest opset an export may be asked for."""


@dataclass(frozen=True)
class ExportSettings:
    """How a model is exported.

    Attributes:
        opset: ONNX opset at least.
        profile: Name of the profile whose rules the graph is checked against, or None.
        format: What is written; opset and profile are for ONNX files.
    """

    opset: int = DEFAULT_OPSET
    profile: str | None = None
    format: FileFormat = FileFormat.ONNX


@dataclass(frozen=True, slots=True)
class ExportedOp:
    """One op of the plan in an exported file.

    Attributes:
        op: Its id.
        node: Name of the node that does its work.
        tensor: Name of the tensor that holds its result.
        quantized: Whether it stands between quantize and dequantize nodes.
    """

    op: str
    node: str
    tensor: str
    quantized: bool


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule of a profile that a node of an exported graph does not keep.

    Attributes:
        rule: Name of the rule.
        node: Name of the node.
        message: What is wrong there.
    """

    rule: str
    node: str
    message: str


@dataclass(frozen=True)
class ExportedModel:
    """An exported file: ONNX with standard operators only and a dynamic batch, or a ``.tflite``.

    Attributes:
        file: Where it lies.
        ops: The plan's ops that could be found in it, in execution order.
        notes: What the file does not carry over from the plan.
        rules: Names of the profile's rules that were checked.
        broken: What breaks them.
        own_grids: Whether its 8-bit tensors lie on grids of the runtime's kind, and not on those of the tuned model.
    """

    file: Path
    ops: tuple[ExportedOp, ...]
    notes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    broken: tuple[BrokenRule, ...] = ()
    own_grids: bool = False

    @property
    def quantized(self) -> frozenset[str]:
        """Ids of the ops that are quantized in the file."""
        return frozenset(o.op for o in self.ops if o.quantized)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "file": str(self.file),
            "ops": [[o.op, o.node, o.tensor, o.quantized] for o in self.ops],
            "notes": list(self.notes),
            "rules": list(self.rules),
            "broken": [asdict(b) for b in self.broken],
            "own_grids": self.own_grids,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExportedModel:
        """Rebuild from `to_json`."""
        return cls(
            Path(data["file"]),
            tuple(ExportedOp(*row) for row in data["ops"]),
            tuple(data["notes"]),
            tuple(data["rules"]),
            tuple(BrokenRule(**b) for b in data["broken"]),
            data.get("own_grids", False),
        )


@dataclass(frozen=True)
class Coverage:
    """What runs in 8 bits when a runtime executes a file.

    Attributes:
        nodes: Names of the file's nodes whose work is done by an 8-bit kernel.
        version: Version of the runtime.
        notes: What the reader should know.
    """

    nodes: frozenset[str]
    version: str
    notes: tuple[str, ...] = field(default=())


M_contra = TypeVar("M_contra", bound=Model, contravariant=True)


@runtime_checkable
class Exporting(Protocol[M_contra]):
    """What an adaptor offers whose plans can be deployed elsewhere as ONNX files."""

    def export_onnx(
        self, model: M_contra, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
    ) -> ExportedModel:
        """Write what a plan describes as one ONNX file; ops it leaves in float are float32.

        Raises:
            TrialError: The plan has no ONNX form.
        """

    def exported_tensors(
        self,
        model: M_contra,
        plan: Plan,
        calibration: Calibration | None,
        exported: ExportedModel,
        tensors: Sequence[str],
        inputs: Inputs,
    ) -> Mapping[str, Array]:
        """What the tensors of an exported file should hold, by this framework's own arithmetic."""


@runtime_checkable
class ExportingTflite(Protocol[M_contra]):
    """What an adaptor offers whose plans can be deployed in LiteRT."""

    def export_tflite(
        self,
        model: M_contra,
        plan: Plan,
        calibration: Calibration | None,
        batches: Callable[[], Iterable[Batch]],
        file: Path,
    ) -> ExportedModel:
        """Write what a plan describes as one ``.tflite`` file; ops it leaves in float are float32.

        Inputs and outputs keep the names of the model's signature. What the format has no form for is a note.

        Args:
            model: The fp32 model.
            plan: The plan.
            calibration: Its statistics.
            batches: Gives the calibration samples again, for tensors that only the converted model has; empty where
                there are none.
            file: Where to write.

        Raises:
            TrialError: The plan has no such form.
        """

    def exported_tensors(
        self,
        model: M_contra,
        plan: Plan,
        calibration: Calibration | None,
        exported: ExportedModel,
        tensors: Sequence[str],
        inputs: Inputs,
    ) -> Mapping[str, Array]:
        """What the tensors of an exported file should hold, by the arithmetic the file describes."""


@runtime_checkable
class Deploying(Protocol):
    """What an adaptor offers whose runtime executes files that others exported."""

    def coverage(self, file: Path, options: RunOptions) -> Coverage:
        """Which nodes of the file the runtime executes in 8 bits."""

    def run_tensors(
        self, file: Path, tensors: Sequence[str], inputs: Inputs, options: RunOptions
    ) -> Mapping[str, Array]:
        """Tensors inside the file, as the runtime computes them."""
