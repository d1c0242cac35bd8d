"""The TensorFlow adaptor: Keras models, SavedModels and frozen graphs on oneDNN's 8-bit kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from autoq.adaptors.tensorflow import calibrator, local_errors, profile, saved
from autoq.adaptors.tensorflow.build import build, observable
from autoq.adaptors.tensorflow.candidate import Source, TensorFlowCandidate, whole
from autoq.adaptors.tensorflow.capabilities import capability_table
from autoq.adaptors.tensorflow.fusion import find_ops
from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.passes import fold
from autoq.adaptors.tensorflow.probe import prober
from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.recipes import BF16, has_bf16
from autoq.adaptors.tensorflow.runtime import SETTABLE_THREADS
from autoq.adaptors.tensorflow.session import FAILURES, reason
from autoq.adaptors.tensorflow.usability import check_onednn, usability
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, ProbedCell, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.deployment import ExportedModel
from autoq.core.errors import AutoqError, TrialError, UnsupportedError
from autoq.core.plan import Plan
from autoq.core.precision import Observer
from autoq.core.registry import make_adaptor
from autoq.core.statistics import Calibration, Needs

_FIXED_THREADS = (
    "TensorFlow ran in this process before autoq used it, so its number of threads cannot be changed any more: "
    "start the process with TF_OVERRIDE_GLOBAL_THREADPOOL=1, or give the model as a file and use runner: subprocess"
)


class TensorFlowAdaptor:
    """Quantizes TensorFlow models for stock TensorFlow on a CPU."""

    framework = "tensorflow"

    def load(self, source: ModelSource) -> TensorFlowModel:
        """Read, freeze and fold a model.

        Raises:
            ModelError: It cannot be read, or is quantized already; says why.
            UnsupportedError: oneDNN is switched off.
        """
        check_onednn()
        frozen = read(source)
        graph = fold(frozen)
        notes = frozen.notes if SETTABLE_THREADS else (*frozen.notes, _FIXED_THREADS)
        return TensorFlowModel(frozen, find_ops(graph), _fingerprint(graph), frozen.proto.ByteSize(), notes)

    def capabilities(self, model: TensorFlowModel) -> CapabilityTable:
        """Which op can run in which precision on this machine."""
        return capability_table(model, prober().costs)

    def needs(self, model: TensorFlowModel, table: CapabilityTable) -> Needs:
        """What every op that has a static form reads and leaves behind."""
        static = {row.op.id for row in table if len(row.precisions) > 1}
        names = observable(model.fusion, [op for op in model.fusion.ops if op.id in static])
        used = {p.activation.observer for row in table for p in row.precisions if p.activation is not None}
        return Needs(names, histogram=bool(used - {Observer.MINMAX}))

    def transform(self, model: TensorFlowModel, recipe: Recipe, calibration: Calibration) -> TensorFlowModel:  # noqa: ARG002
        """There are no recipes that rewrite TensorFlow models."""
        raise UnsupportedError(f"TensorFlow has no recipe '{recipe.name}'", hint="remove it from the job")

    def calibrate(self, model: TensorFlowModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass."""
        return calibrator.collect(model, batches, needs)

    def observe(
        self, model: TensorFlowModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """Intermediate outputs, batch by batch."""
        return calibrator.observe(model, batches, tensors)

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch."""
        ours = _ours(candidate)
        if ours.fusion is None:
            raise UnsupportedError("only a candidate built from a plan can be profiled by op")
        return profile.profile(ours, ours.fusion, inputs)

    def local_errors(
        self,
        model: TensorFlowModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """Relative squared error each op of a plan makes by itself; see `local_errors.local_errors`."""
        return local_errors.local_errors(model, plan, calibration, batches, options)

    def apply(
        self, model: TensorFlowModel, plan: Plan, calibration: Calibration | None, options: RunOptions
    ) -> Candidate:
        """Build what the plan says; the empty plan is the folded float graph, the fastest float form there is.

        Raises:
            TrialError: The plan could not be built or loaded.
        """
        foreign = next((recipe for recipe in plan.recipes if recipe != BF16), None)
        if foreign is not None:
            raise TrialError(f"TensorFlow has no recipe '{foreign.label}'", hint="there is: bf16")
        if plan.recipes and not has_bf16():
            raise TrialError("this processor does not compute in bfloat16")
        if not plan.precisions:
            return TensorFlowCandidate(
                Source(whole(model.graph.proto), model.frozen, model.size_bytes), plan, model.fusion, options
            )
        try:
            proto = whole(build(model, plan, calibration))
        except TrialError:
            raise
        except AutoqError as error:
            raise TrialError(error.message, where=error.where, hint=error.hint) from error
        except FAILURES as error:
            raise TrialError(f"the plan cannot be built: {reason(error)}") from error
        return TensorFlowCandidate(Source(proto, model.frozen, proto.ByteSize()), plan, model.fusion, options)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write a SavedModel with the original signature, and what is known of it, into an existing, empty folder."""
        return saved.save(_ours(candidate), folder)

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote, or any model in a form this adaptor reads."""
        return saved.load_artifact(folder, options)

    def export_tflite(
        self,
        model: TensorFlowModel,
        plan: Plan,
        calibration: Calibration | None,  # noqa: ARG002
        batches: Callable[[], Iterable[Batch]],
        file: Path,
    ) -> ExportedModel:
        """Convert the model to LiteRT and quantize it there as the plan says.

        Raises:
            MissingDependencyError: The packages of LiteRT are not installed.
            TrialError: The plan has no such form.
        """
        make_adaptor("tensorflow_lite")
        from autoq.adaptors.tensorflow import export

        return export.export_tflite(model, plan, batches, file)

    def exported_tensors(
        self,
        model: TensorFlowModel,  # noqa: ARG002
        plan: Plan,  # noqa: ARG002
        calibration: Calibration | None,  # noqa: ARG002
        exported: ExportedModel,
        tensors: Sequence[str],
        inputs: Inputs,
    ) -> Mapping[str, Array]:
        """What the tensors of an exported file should hold, by LiteRT's reference kernels."""
        from autoq.adaptors.tensorflow_lite.export import exported_tensors

        return exported_tensors(exported, tensors, inputs)

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
        """Versions, and what is missing."""
        return usability()


def _fingerprint(graph: Graph) -> str:
    """Content address of the folded graph: its nodes by name, weights included."""
    hashed = hashlib.sha256(repr((graph.inputs, graph.outputs)).encode())
    for node in sorted(graph.proto.node, key=lambda n: str(n.name)):
        hashed.update(node.SerializeToString(deterministic=True))
        hashed.update(b"\0")
    return hashed.hexdigest()[:16]


def _ours(candidate: Candidate) -> TensorFlowCandidate:
    if not isinstance(candidate, TensorFlowCandidate):
        raise UnsupportedError(f"this is not a TensorFlow candidate but a {type(candidate).__name__}")
    return candidate
