"""The ONNX Runtime adaptor: three formats over one body."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoq.adaptors.onnxrt import calibrator, deployed, export, local_errors, probe, profile, save
from autoq.adaptors.onnxrt.build import Format, build, observable
from autoq.adaptors.onnxrt.candidate import OnnxCandidate, Source
from autoq.adaptors.onnxrt.capabilities import capability_table
from autoq.adaptors.onnxrt.model import OnnxModel, load
from autoq.adaptors.onnxrt.reading import external_bytes
from autoq.adaptors.onnxrt.realized import OwnerIndex
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, ProbedCell, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.deployment import Coverage, ExportedModel, ExportSettings
from autoq.core.errors import AutoqError, TrialError, UnsupportedError
from autoq.core.feeding import feed
from autoq.core.plan import Plan
from autoq.core.precision import Mode, Observer
from autoq.core.statistics import Calibration, Needs


@dataclass(frozen=True)
class OnnxAdaptor:
    """Quantizes ONNX models for ONNX Runtime's CPU provider.

    Attributes:
        framework: Name in the registry.
        form: How static ops are written.
        modes: What its models may hold beside fp32.
    """

    framework: str
    form: Format
    modes: tuple[Mode, ...]

    def load(self, source: ModelSource) -> OnnxModel:
        """Read a model; see `model.load`."""
        return load(source)

    def capabilities(self, model: OnnxModel) -> CapabilityTable:
        """Which op can run in which precision on this machine."""
        return capability_table(model.fusion, self.modes, probe.prober().costs, model.notes)

    def needs(self, model: OnnxModel, table: CapabilityTable) -> Needs:
        """Inputs and results of every op that has a static form."""
        static = {row.op.id: [p for p in row.precisions if p.mode is Mode.STATIC] for row in table}
        names = observable(model.fusion, [op for op in model.fusion.ops if static.get(op.id)])
        used = {p.activation.observer for row in static.values() for p in row if p.activation is not None}
        return Needs(names, histogram=bool(used - {Observer.MINMAX}))

    def transform(self, model: OnnxModel, recipe: Recipe, calibration: Calibration) -> OnnxModel:  # noqa: ARG002
        """There are no recipes for ONNX models."""
        raise UnsupportedError(f"ONNX Runtime has no recipe '{recipe.name}'", hint="remove it from the job")

    def calibrate(self, model: OnnxModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass."""
        return calibrator.collect(model, batches, needs, lambda batch: dict(feed(batch.inputs, model.inputs)))

    def observe(
        self, model: OnnxModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """Intermediate outputs, batch by batch."""
        return calibrator.observe(model, batches, tensors, lambda batch: dict(feed(batch.inputs, model.inputs)))

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch."""
        ours = _ours(candidate)
        if ours.fusion is None:
            raise UnsupportedError("only a candidate built from a plan can be profiled by op")
        return profile.profile(ours, OwnerIndex(ours.fusion), inputs)

    def local_errors(
        self,
        model: OnnxModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """Relative squared error each op of a plan makes by itself; see `local_errors.local_errors`."""
        write = partial(build, form=self.form)
        return local_errors.local_errors(model, plan, calibration, batches, options, write)

    def apply(self, model: OnnxModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> Candidate:
        """Build what the plan says; the empty plan is the model as it was given, fully optimized.

        Raises:
            TrialError: The plan could not be built or loaded.
        """
        if plan.is_baseline:
            source = Source(model.original, model.original_folder, model.size_bytes)
            return OnnxCandidate(source, plan, model.fusion, options)
        foreign = next((op for op, p in plan.precisions.items() if p.mode not in self.modes), None)
        if foreign is not None:
            raise TrialError(f"{self.framework} models hold no {plan[foreign].mode} ops", where=foreign)
        try:
            proto = build(model, plan, calibration, self.form)
            data = proto.SerializeToString()
        except TrialError:
            raise
        except AutoqError as error:
            raise TrialError(error.message, where=error.where, hint=error.hint) from error
        except Exception as error:
            raise TrialError(f"the plan cannot be built: {type(error).__name__}: {error}") from error
        source = Source(data, model.folder, len(data) + external_bytes(proto))
        return OnnxCandidate(source, plan, model.fusion, options)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write the model, and what is known of it, into an existing, empty folder."""
        return save.save(_ours(candidate), folder, self.framework)

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote, or any ONNX model file."""
        return save.load_artifact(folder, options)

    def probe(self, progress: Callable[[str], None] = lambda _: None) -> Sequence[ProbedCell]:
        """Run every cell of the capability table on this machine, and remember the result."""
        return probe.prober().probe(progress)

    def probed(self) -> Sequence[ProbedCell]:
        """What `probe` found here before."""
        return probe.prober().probed()

    def export_onnx(
        self, model: OnnxModel, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
    ) -> ExportedModel:
        """Write what a plan describes with operators of the ONNX standard only."""
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
        return export.exported_tensors(exported, tensors, inputs)

    def coverage(self, file: Path, options: RunOptions) -> Coverage:
        """Which nodes of an ONNX file run in 8 bits."""
        return deployed.coverage(file, options)

    def run_tensors(
        self, file: Path, tensors: Sequence[str], inputs: Inputs, options: RunOptions
    ) -> Mapping[str, Array]:
        """Tensors inside an ONNX file, as ONNX Runtime computes them."""
        return deployed.run_tensors(file, tensors, inputs, options)

    @property
    def probe_cache(self) -> Path:
        """The file `probe` writes."""
        return probe.prober().cache_file

    def usability(self) -> Usability:
        """Versions, and what is missing."""
        return usability()


def usability() -> Usability:
    """Whether onnx and onnxruntime are installed; imports neither."""
    versions: dict[str, str | None] = {}
    for package in ("onnxruntime", "onnx"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    missing = None in versions.values()
    return Usability(not missing, versions, "pip install 'autoq[onnxrt]'" if missing else "")


def qdq() -> OnnxAdaptor:
    """Static ops in QDQ format, and dynamic ops."""
    return OnnxAdaptor("onnxrt_qdq", Format.QDQ, (Mode.STATIC, Mode.DYNAMIC))


def qlinearops() -> OnnxAdaptor:
    """Static ops as quantized operators, and dynamic ops."""
    return OnnxAdaptor("onnxrt_qlinearops", Format.QOPERATOR, (Mode.STATIC, Mode.DYNAMIC))


def integerops() -> OnnxAdaptor:
    """Dynamic ops only."""
    return OnnxAdaptor("onnxrt_integerops", Format.QOPERATOR, (Mode.DYNAMIC,))


def _ours(candidate: Candidate) -> OnnxCandidate:
    if not isinstance(candidate, OnnxCandidate):
        raise UnsupportedError(f"this is not an ONNX Runtime candidate but a {type(candidate).__name__}")
    return candidate
