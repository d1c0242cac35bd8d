"""The OpenVINO adaptor: ONNX models on OpenVINO's CPU runtime."""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from autoq.adaptors.onnxrt import calibrator
from autoq.adaptors.onnxrt.candidate import Source
from autoq.adaptors.onnxrt.export import exported_tensors
from autoq.adaptors.onnxrt.model import OnnxModel, load
from autoq.adaptors.onnxrt.reading import external_bytes
from autoq.adaptors.openvino import deployed, export, local_errors, profile, save
from autoq.adaptors.openvino.agreement import check_agreement, is_comparable
from autoq.adaptors.openvino.build import build, observable
from autoq.adaptors.openvino.candidate import OpenVinoCandidate, Origin
from autoq.adaptors.openvino.capabilities import capabilities, support
from autoq.adaptors.openvino.probe import prober
from autoq.adaptors.openvino.realized import BF16
from autoq.adaptors.openvino.runtime import CompileSettings, has_bf16
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, ProbedCell, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.deployment import Coverage, ExportedModel, ExportSettings
from autoq.core.errors import AutoqError, TrialError, UnsupportedError
from autoq.core.feeding import feed
from autoq.core.plan import Plan
from autoq.core.precision import Observer
from autoq.core.statistics import Calibration, Needs


class OpenVinoAdaptor:
    """Quantizes ONNX models for OpenVINO's CPU plugin, with ranges fixed by calibration.

    ONNX Runtime reads and calibrates the model; OpenVINO runs every candidate.
    """

    framework = "openvino"

    def load(self, source: ModelSource) -> OnnxModel:
        """Read an ONNX model; see the ONNX Runtime adaptor."""
        return load(source, support().ops)

    def capabilities(self, model: OnnxModel) -> CapabilityTable:
        """Which op can run in which precision on this machine."""
        return capabilities(model, prober().costs)

    def needs(self, model: OnnxModel, table: CapabilityTable) -> Needs:
        """What every op that has a static form reads."""
        static = {row.op.id for row in table if len(row.precisions) > 1}
        names = observable(model.fusion, [op for op in model.fusion.ops if op.id in static])
        used = {p.activation.observer for row in table for p in row.precisions if p.activation is not None}
        return Needs(names, histogram=bool(used - {Observer.MINMAX}))

    def transform(self, model: OnnxModel, recipe: Recipe, calibration: Calibration) -> OnnxModel:  # noqa: ARG002
        """There are no recipes that rewrite ONNX models."""
        raise UnsupportedError(f"OpenVINO has no recipe '{recipe.name}'", hint="remove it from the job")

    def calibrate(self, model: OnnxModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass.

        Raises:
            ModelError: OpenVINO computes something else than ONNX Runtime, in float32 already.
            DataError: The data do not fit the model.
        """
        stream = iter(batches)
        first = list(itertools.islice(stream, 1))
        if first and is_comparable(model):
            check_agreement(model, first[0].inputs)
        return calibrator.collect(
            model, itertools.chain(first, stream), needs, lambda batch: dict(feed(batch.inputs, model.inputs))
        )

    def observe(
        self, model: OnnxModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """Intermediate outputs, batch by batch."""
        return calibrator.observe(model, batches, tensors, lambda batch: dict(feed(batch.inputs, model.inputs)))

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch."""
        ours = _ours(candidate)
        if ours.origin is None:
            raise UnsupportedError("only a candidate built from a plan can be profiled by op")
        return profile.profile(ours, ours.origin, inputs)

    def local_errors(
        self,
        model: OnnxModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """Relative squared error each op of a plan makes by itself; see `local_errors.local_errors`."""
        return local_errors.local_errors(model, plan, calibration, batches, options)

    def apply(self, model: OnnxModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> Candidate:
        """Build what the plan says; the empty plan is the model as it was given, in real float32.

        Raises:
            TrialError: The plan could not be built or loaded.
        """
        foreign = next((recipe for recipe in plan.recipes if recipe != BF16), None)
        if foreign is not None:
            raise TrialError(f"OpenVINO has no recipe '{foreign.label}'")
        bf16 = BF16 in plan.recipes
        if bf16 and not has_bf16():
            raise TrialError("this processor does not compute in bfloat16")
        settings = CompileSettings(options.threads, bf16=bf16)
        outputs = tuple(spec.name for spec in model.outputs)
        if not plan.precisions:
            source = Source(model.original, model.original_folder, model.size_bytes)
            return OpenVinoCandidate(source, plan, settings, model.inputs, outputs, Origin(model, None))
        try:
            built = build(model, plan, calibration)
            data = built.proto.SerializeToString()
        except TrialError:
            raise
        except AutoqError as error:
            raise TrialError(error.message, where=error.where, hint=error.hint) from error
        source = Source(data, model.folder, len(data) + external_bytes(built.proto))
        return OpenVinoCandidate(source, plan, settings, model.inputs, outputs, Origin(model, built.quantized))

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write the model, and what is known of it, into an existing, empty folder."""
        return save.save(_ours(candidate), folder)

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote, or any ``.onnx`` or ``.xml`` model."""
        return save.load_artifact(folder, options)

    def export_onnx(
        self, model: OnnxModel, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
    ) -> ExportedModel:
        """Write what a plan describes as one ONNX file."""
        return export.export_onnx(model, plan, calibration, file, settings)

    def exported_tensors(
        self,
        model: OnnxModel,  # noqa: ARG002
        plan: Plan,  # noqa: ARG002
        calibration: Calibration | None,  # noqa: ARG002
        exported: ExportedModel,
        tensors: Sequence[str],
        inputs: Inputs,
    ) -> Mapping[str, Array]:
        """What the tensors of an exported file should hold."""
        return exported_tensors(exported, tensors, inputs)

    def coverage(self, file: Path, options: RunOptions) -> Coverage:
        """Which nodes of an ONNX file run in 8 bits."""
        return deployed.coverage(file, options)

    def run_tensors(
        self, file: Path, tensors: Sequence[str], inputs: Inputs, options: RunOptions
    ) -> Mapping[str, Array]:
        """Tensors inside an ONNX file, as OpenVINO computes them."""
        return deployed.run_tensors(file, tensors, inputs, options)

    def probe(self, progress: Callable[[str], None] = lambda _: None) -> Sequence[ProbedCell]:
        """Run every cell of the capability table on this machine, and remember the result."""
        return prober().probe(progress)

    def probed(self) -> Sequence[ProbedCell]:
        """What `probe` found here before."""
        return prober().probed()

    @property
    def probe_cache(self) -> Path:
        """The file `probe` writes."""
        return prober().cache_file

    def usability(self) -> Usability:
        """Versions, and what is missing; imports nothing."""
        versions: dict[str, str | None] = {}
        for package in ("openvino", "onnxruntime", "onnx"):
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = None
        missing = None in versions.values()
        return Usability(not missing, versions, "pip install 'autoq[openvino]'" if missing else "")


def _ours(candidate: Candidate) -> OpenVinoCandidate:
    if not isinstance(candidate, OpenVinoCandidate):
        raise UnsupportedError(f"this is not an OpenVINO candidate but a {type(candidate).__name__}")
    return candidate
