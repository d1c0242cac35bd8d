"""The PyTorch 2 export adaptor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoq.adaptors.pytorch import artifact, exporting, usability
from autoq.adaptors.pytorch.candidate import TorchCandidate
from autoq.adaptors.pytorch.floats import float_candidate
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.support import told_as_trial
from autoq.adaptors.pytorch_pt2e import collect, curvature, local_errors, profile
from autoq.adaptors.pytorch_pt2e.candidate import GraphCandidate, build
from autoq.adaptors.pytorch_pt2e.capabilities import capability_table
from autoq.adaptors.pytorch_pt2e.deploy import compiling
from autoq.adaptors.pytorch_pt2e.model import Pt2eModel, load
from autoq.adaptors.pytorch_pt2e.onnx_export import reference
from autoq.adaptors.pytorch_pt2e.recipes import EAGER, check_recipes
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.deployment import ExportedModel, ExportSettings
from autoq.core.errors import ModelError, TrialError, UnsupportedError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, Observer
from autoq.core.statistics import Calibration, Needs

FRAMEWORK = "pytorch_pt2e"


@dataclass(frozen=True)
class Pt2eAdaptor:
    """Quantizes graphs of torch.export for the x86 backend of the PyTorch compiler."""

    def load(self, source: ModelSource) -> Pt2eModel:
        """Read a model and export it; see `model.load`."""
        if usability.compiler() is None:
            raise ModelError(
                "pytorch_pt2e compiles its models, and there is no C++ compiler here",
                hint="install g++, or name one in the environment (CXX); pytorch_fx and pytorch_eager need none",
            )
        return load(source)

    def capabilities(self, model: Pt2eModel) -> CapabilityTable:
        """Which op can run in which precision on this machine."""
        return capability_table(model)

    def needs(self, model: Pt2eModel, table: CapabilityTable) -> Needs:
        """What every op with a static form reads, and what the ops that keep a grid give."""
        static = {row.op.id: [p for p in row.precisions if p.mode is Mode.STATIC] for row in table}
        used = {p.activation.observer for row in static.values() for p in row if p.activation is not None}
        names = model.ops.observed([op for op in model.ops.ops if static.get(op.id)])
        return Needs(names, histogram=bool(used - {Observer.MINMAX}))

    def transform(self, model: Pt2eModel, recipe: Recipe, calibration: Calibration) -> Pt2eModel:  # noqa: ARG002
        """There are no recipes that rewrite weights."""
        raise UnsupportedError(f"{FRAMEWORK} has no recipe '{recipe.name}'", hint="remove it from the job")

    def calibrate(self, model: Pt2eModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass over the float graph."""
        return collect.calibrate(model, batches, needs)

    def observe(
        self, model: Pt2eModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """Intermediate outputs, batch by batch."""
        return collect.observe(model, batches, tensors)

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch, quantized ops in the kernels the compiler would use."""
        if not isinstance(candidate, GraphCandidate):
            raise UnsupportedError("only a candidate built from a plan can be profiled by op")
        return profile.profile(candidate, inputs)

    def local_errors(
        self,
        model: Pt2eModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """Relative squared error each op of a plan makes by itself; see `local_errors.local_errors`."""
        return local_errors.local_errors(model, plan, calibration, batches, options)

    def curvature(
        self, model: Pt2eModel, plan: Plan, batches: Iterable[Batch], *, seed: int, draws: int, options: RunOptions
    ) -> Mapping[str, float]:
        """What rounding the weights of each op does to the output, to second order; see `pytorch.curvature`."""
        return curvature.curvature(model, plan, batches, seed, draws, options)

    def apply(self, model: Pt2eModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> Candidate:
        """Build what the plan says. Scored as a graph, deployed compiled; with the recipe ``eager``, as it was given.

        Raises:
            TrialError: The plan could not be built.
        """
        check_recipes(plan)
        foreign = next((op for op in plan if op not in model.ops.by_id), None)
        if foreign is not None:
            raise TrialError("the model has no such op", where=foreign)
        if EAGER in plan.recipes:
            return _eager(model, plan, options)
        with told_as_trial(), guarded(options.threads):
            return build(model, plan, calibration, options)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write the deployed form, and what is known of it, into an existing, empty folder."""
        if not isinstance(candidate, TorchCandidate):
            raise UnsupportedError(f"this is not a PyTorch candidate but a {type(candidate).__name__}")
        return artifact.save(candidate, folder, FRAMEWORK)

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote; compiled again from the exported program on a machine of another kind."""
        with compiling():
            return artifact.load_artifact(folder, options)

    def export_onnx(
        self, model: Pt2eModel, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
    ) -> ExportedModel:
        """Write what a plan describes as one ONNX file; needs the packages of ``autoq[deployment]``."""
        make = partial(reference, model, plan, calibration)
        return exporting.export_onnx(model.torch, self.capabilities(model).ops, plan, make, file, settings)

    def exported_tensors(
        self,
        model: Pt2eModel,
        plan: Plan,
        calibration: Calibration | None,
        exported: ExportedModel,  # noqa: ARG002
        tensors: Sequence[str],
        inputs: Inputs,
    ) -> Mapping[str, Array]:
        """What the tensors of an exported file should hold."""
        make = partial(reference, model, plan, calibration)
        return exporting.exported_tensors(model.torch, self.capabilities(model).ops, plan, make, tensors, inputs)

    def usability(self) -> Usability:
        """Versions, and what is missing."""
        return usability.usability("torch", "torchao", eager_quantization=False)


def _eager(model: Pt2eModel, plan: Plan, options: RunOptions) -> TorchCandidate:
    found = float_candidate(model.torch, Plan(), options)
    found.plan = found.realized = plan
    return found
