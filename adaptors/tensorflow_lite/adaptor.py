"""The LiteRT adaptor: ``.tflite`` models, and whatever of TensorFlow's converts to one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from autoq.adaptors.tensorflow_lite import calibrator, deployed, export, local_errors, profile, saving
from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.candidate import LiteCandidate
from autoq.adaptors.tensorflow_lite.capabilities import capability_table
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.probe import prober
from autoq.adaptors.tensorflow_lite.ranges import observable
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, ProbedCell, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.deployment import Coverage, ExportedModel
from autoq.core.errors import TrialError, UnsupportedError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, Observer
from autoq.core.statistics import Calibration, Needs


class LiteRtAdaptor:
    """Quantizes models for LiteRT with ai-edge-quantizer, op by op."""

    framework = "tensorflow_lite"

    def load(self, source: ModelSource) -> LiteModel:
        """Read a ``.tflite`` model, or convert a TensorFlow model; see `reading.load`."""
        return load(source)

    def capabilities(self, model: LiteModel) -> CapabilityTable:
        """Which op can run in which precision on this machine."""
        return capability_table(model, prober().costs)

    def needs(self, model: LiteModel, table: CapabilityTable) -> Needs:
        """What static ops read and make, and what is moved between them."""
        static = {row.op.id: [p for p in row.precisions if p.mode is Mode.STATIC] for row in table}
        names = observable(model, {op: model.ops_by_id[op] for op, found in static.items() if found})
        used = {p.activation.observer for found in static.values() for p in found if p.activation is not None}
        return Needs(names, histogram=bool(used - {Observer.MINMAX}))

    def transform(self, model: LiteModel, recipe: Recipe, calibration: Calibration) -> LiteModel:  # noqa: ARG002
        """There are no recipes for LiteRT models."""
        raise UnsupportedError(f"LiteRT has no recipe '{recipe.name}'", hint="remove it from the job")

    def calibrate(self, model: LiteModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass."""
        return calibrator.collect(model, batches, needs)

    def observe(
        self, model: LiteModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """Intermediate outputs, batch by batch."""
        return calibrator.observe(model, batches, tensors)

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch, each timed alone; see `profile.profile`."""
        ours = _ours(candidate)
        if ours.model is None:
            raise UnsupportedError("only a candidate built from a plan can be profiled by op")
        return profile.profile(ours, ours.model, inputs)

    def local_errors(
        self,
        model: LiteModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """Relative squared error each op of a plan makes by itself; see `local_errors.local_errors`."""
        return local_errors.local_errors(model, plan, calibration, batches, options)

    def apply(self, model: LiteModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> Candidate:
        """Build what the plan says; the empty plan is the float model.

        Raises:
            TrialError: The plan could not be built or loaded.
        """
        foreign = next(iter(plan.recipes), None)
        if foreign is not None:
            raise TrialError(f"LiteRT has no recipe '{foreign.label}'")
        return LiteCandidate(build(model, plan, calibration), plan, model.interface, model, options)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write the model, and what is known of it, into an existing, empty folder."""
        return saving.save(_ours(candidate), folder)

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote, or any ``.tflite`` file."""
        return saving.load_artifact(folder, options)

    def export_tflite(
        self,
        model: LiteModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Callable[[], Iterable[Batch]],  # noqa: ARG002
        file: Path,
    ) -> ExportedModel:
        """Write what a plan describes as one ``.tflite`` file: the one a candidate runs."""
        return export.export_tflite(model, plan, calibration, file)

    def exported_tensors(
        self,
        model: LiteModel,  # noqa: ARG002
        plan: Plan,  # noqa: ARG002
        calibration: Calibration | None,  # noqa: ARG002
        exported: ExportedModel,
        tensors: Sequence[str],
        inputs: Inputs,
    ) -> Mapping[str, Array]:
        """What the tensors of an exported file should hold, by LiteRT's reference kernels."""
        return export.exported_tensors(exported, tensors, inputs)

    def coverage(self, file: Path, options: RunOptions) -> Coverage:
        """Which nodes of a ``.tflite`` file run on integers."""
        return deployed.coverage(file, options)

    def run_tensors(
        self, file: Path, tensors: Sequence[str], inputs: Inputs, options: RunOptions
    ) -> Mapping[str, Array]:
        """Tensors inside a ``.tflite`` file, as LiteRT computes them."""
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
        for package in ("ai-edge-litert", "ai-edge-quantizer"):
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = None
        missing = None in versions.values()
        return Usability(not missing, versions, "pip install 'autoq[tensorflow-lite]'" if missing else "")


def _ours(candidate: Candidate) -> LiteCandidate:
    if not isinstance(candidate, LiteCandidate):
        raise UnsupportedError(f"this is not a LiteRT candidate but a {type(candidate).__name__}")
    return candidate
