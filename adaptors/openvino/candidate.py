"""A model compiled by OpenVINO, ready to run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from onnx import ModelProto

from autoq.adaptors.onnxrt.candidate import Source
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.reading import external_files
from autoq.adaptors.openvino.build import Quantized
from autoq.adaptors.openvino.realized import ExecutedNode, executed, realized_plan
from autoq.adaptors.openvino.runtime import CompileSettings, compile_model, names_of, read_model, reason, specs
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs, Outputs, TensorSpec
from autoq.core.errors import AutoqError, DataError, TrialError
from autoq.core.feeding import feed
from autoq.core.plan import Plan


@dataclass(frozen=True, eq=False)
class Origin:
    """What a candidate was built from.

    Attributes:
        model: The fp32 model.
        quantized: What the plan quantized; None for the model as it was given.
    """

    model: OnnxModel
    quantized: Quantized | None


class OpenVinoCandidate:
    """A compiled model and what is known of it.

    Args:
        source: The model: ONNX, as bytes or a file, or a file in OpenVINO's own format.
        plan: What was asked for.
        settings: How it is compiled.
        inputs: Its inputs, in order; by default what OpenVINO reads in the model.
        outputs: Names of its outputs, in order; by default what OpenVINO reads in the model.
        origin: What it was built from, to read back what is realized; None when `plan` is known to be realized.

    Raises:
        TrialError: OpenVINO cannot load it.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        settings: CompileSettings,
        inputs: Sequence[TensorSpec] = (),
        outputs: Sequence[str] = (),
        origin: Origin | None = None,
    ) -> None:
        self.source = source
        self.plan = plan
        self.settings = settings
        self.origin = origin
        try:
            model = read(source)
            self._inputs = tuple(inputs) or specs(model.inputs)
            self._fed = _positions(model.inputs, [spec.name for spec in self._inputs])
            self._outputs = _positions(model.outputs, outputs or [spec.name for spec in specs(model.outputs)])
            self._compiled: ov.CompiledModel | None = compile_model(model, settings)
            self._request: ov.InferRequest | None = self._compiled.create_infer_request()
        except AutoqError:
            raise
        except Exception as error:
            raise TrialError(f"OpenVINO cannot load the model this plan makes: {reason(error)}") from error

    @cached_property
    def realized(self) -> Plan:
        """What really runs: ops without an 8-bit kernel are left out."""
        if self.origin is None:
            return self.plan
        return realized_plan(self.plan, self.origin.model.fusion, self.origin.quantized, self.executed)

    @cached_property
    def executed(self) -> tuple[ExecutedNode, ...]:
        """The nodes that run, with the precision each computes in."""
        return executed(self.native)

    @property
    def int8_nodes(self) -> int:
        """How many nodes compute on 8-bit values."""
        return sum(node.is_int8 for node in self.executed)

    @property
    def native(self) -> ov.CompiledModel:
        """The compiled model."""
        if self._compiled is None:
            raise TrialError("this candidate was closed")
        return self._compiled

    @property
    def options(self) -> RunOptions:
        """How it runs."""
        return RunOptions(self.settings.threads)

    @property
    def size_bytes(self) -> int:
        """Bytes of the model with its weights."""
        return self.source.size_bytes

    def predict(self, inputs: Inputs) -> Outputs:
        """Run one batch.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The runtime failed.
        """
        if self._request is None:
            raise TrialError("this candidate was closed")
        fed = self.checked(inputs)
        try:
            results = self._request.infer(fed, share_inputs=True)
        except Exception as error:
            raise TrialError(f"OpenVINO failed: {reason(error)}") from error
        return {name: np.asarray(results[i]) for name, i in self._outputs.items()}

    def checked(self, inputs: Inputs) -> dict[int, Array]:
        """Arrays by the position of their input.

        Raises:
            DataError: Wrong names, shapes or dtypes. OpenVINO itself would convert dtypes without a word.
        """
        fed: Mapping[str, Array] = feed(inputs, self._inputs)
        for spec in self._inputs:
            array = fed[spec.name]
            if not spec.accepts(array):
                raise DataError(
                    f"input '{spec.name}' takes {spec.dtype} {spec.shape}, not {array.dtype} {array.shape}",
                    where=spec.name,
                )
        return {i: np.require(fed[name], requirements="C") for name, i in self._fed.items()}

    def close(self) -> None:
        """Release the compiled model."""
        self._request = None
        self._compiled = None


def read(source: Source) -> ov.Model:
    """A model from its source. Raises whatever OpenVINO raises."""
    if isinstance(source.model, Path) or source.folder is None:
        return read_model(source.model)
    # OpenVINO finds weights in other files only from a file of its own beside them.
    proto = ModelProto.FromString(source.model)
    scratch = Path(tempfile.mkdtemp(prefix="autoq-openvino-"))
    try:
        for file in external_files(proto, source.folder):
            link = scratch / file.relative_to(source.folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            _link(file.resolve(), link)
        (scratch / "model.onnx").write_bytes(source.model)
        return read_model(scratch / "model.onnx")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """The same file under another name. OpenVINO refuses links that lead out of the model's folder."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _positions(ports: Sequence[Any], names: Sequence[str]) -> dict[str, int]:
    """Position by name, in the order of the names; an input that nothing reads has none."""
    found = {name: i for i, port in enumerate(ports) for name in names_of(port)}
    return {name: found[name] for name in names if name in found}
