"""The adaptor of PyTorch's FX graph mode quantization."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from autoq.adaptors.pytorch import artifact, exporting
from autoq.adaptors.pytorch import model as models
from autoq.adaptors.pytorch.candidate import TorchCandidate
from autoq.adaptors.pytorch.floats import float_candidate
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.support import told_as_trial
from autoq.adaptors.pytorch.usability import usability
from autoq.adaptors.pytorch_fx import curvature, local_errors
from autoq.adaptors.pytorch_fx import observe as observation
from autoq.adaptors.pytorch_fx.build import build
from autoq.adaptors.pytorch_fx.candidate import FxCandidate, fx_candidate
from autoq.adaptors.pytorch_fx.capabilities import capability_table, observers_of
from autoq.adaptors.pytorch_fx.export import reference
from autoq.adaptors.pytorch_fx.graph import FxGraph, graph_of
from autoq.adaptors.pytorch_fx.profile import profile
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.deployment import ExportedModel, ExportSettings
from autoq.core.errors import TrialError, UnsupportedError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, Observer
from autoq.core.statistics import Calibration, Needs

FRAMEWORK = "pytorch_fx"


class FxAdaptor:
    """Quantizes symbolically traceable modules for PyTorch's own int8 kernels."""

    def __init__(self) -> None:
        self._graphs: weakref.WeakKeyDictionary[TorchModel, FxGraph] = weakref.WeakKeyDictionary()

    def load(self, source: ModelSource) -> TorchModel:
        """Read a model, and trace it.

        Raises:
            ModelError: It cannot be read, run, or traced.
        """
        model = models.load(source)
        self.graph(model)
        return model

    def capabilities(self, model: TorchModel) -> CapabilityTable:
        """Which op can run in which precision.

        Raises:
            ModelError: Nothing can be quantized.
        """
        return capability_table(model, self.graph(model))

    def needs(self, model: TorchModel, table: CapabilityTable) -> Needs:
        """What the ops with a static form take and give."""
        static = [row for row in table if any(p.mode is Mode.STATIC for p in row.precisions)]
        tensors = self.graph(model).needed({row.op.id for row in static})
        return Needs(tensors, histogram=bool(observers_of(static) - {Observer.MINMAX}))

    def transform(self, model: TorchModel, recipe: Recipe, calibration: Calibration) -> TorchModel:  # noqa: ARG002
        """There are no recipes that rewrite weights yet."""
        raise UnsupportedError(f"{FRAMEWORK} has no recipe '{recipe.name}'", hint="remove it from the job")

    def calibrate(self, model: TorchModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass over the float graph."""
        return observation.calibrate(model, self.graph(model), batches, needs)

    def observe(
        self, model: TorchModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """Intermediate outputs, batch by batch."""
        return observation.observe(model, self.graph(model), batches, tensors)

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch."""
        if isinstance(candidate, FxCandidate):
            return profile(candidate, candidate.converted, inputs)
        if isinstance(candidate, TorchCandidate) and candidate.plan.is_baseline and candidate.model is not None:
            return profile(candidate, self.graph(candidate.model).fused, inputs)
        raise UnsupportedError("only a candidate built from a plan can be profiled by op")

    def local_errors(
        self,
        model: TorchModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """Relative squared error each op of a plan makes by itself; see `local_errors.local_errors`."""
        return local_errors.local_errors(model, self.graph(model), plan, calibration, batches, options)

    def curvature(
        self, model: TorchModel, plan: Plan, batches: Iterable[Batch], *, seed: int, draws: int, options: RunOptions
    ) -> Mapping[str, float]:
        """What rounding the weights of each op does to the output, to second order; see `pytorch.curvature`."""
        return curvature.curvature(model, self.graph(model), plan, batches, seed, draws, options)

    def apply(self, model: TorchModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> Candidate:
        """Build what a plan says; a plan without quantized ops is the user's module, as its recipes say.

        Raises:
            TrialError: The plan could not be built.
        """
        if not plan.precisions:
            return float_candidate(model, plan, options)
        if plan.recipes:
            raise TrialError(
                f"int8 ops of {FRAMEWORK} take no recipe, and the plan has {plan.recipes[0].label}",
                hint="use framework pytorch_pt2e for compiled or bfloat16 models with int8 ops",
            )
        graph = self.graph(model)
        with told_as_trial(), guarded(options.threads):
            return fx_candidate(model, graph, plan, build(graph, plan, calibration), options)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write the model, and what is known of it, into an existing, empty folder."""
        if not isinstance(candidate, TorchCandidate):
            raise UnsupportedError(f"this is not a PyTorch candidate but a {type(candidate).__name__}")
        return artifact.save(candidate, folder, FRAMEWORK)

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote."""
        return artifact.load_artifact(folder, options)

    def export_onnx(
        self, model: TorchModel, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
    ) -> ExportedModel:
        """Write what a plan describes as one ONNX file; needs the packages of ``autoq[deployment]``."""
        make = partial(reference, self.graph(model), plan, calibration)
        return exporting.export_onnx(model, self.capabilities(model).ops, plan, make, file, settings)

    def exported_tensors(
        self,
        model: TorchModel,
        plan: Plan,
        calibration: Calibration | None,
        exported: ExportedModel,  # noqa: ARG002
        tensors: Sequence[str],
        inputs: Inputs,
    ) -> Mapping[str, Array]:
        """What the tensors of an exported file should hold."""
        make = partial(reference, self.graph(model), plan, calibration)
        return exporting.exported_tensors(model, self.capabilities(model).ops, plan, make, tensors, inputs)

    def usability(self) -> Usability:
        """Versions, and what is missing."""
        return usability("torch", "safetensors", eager_quantization=True)

    def graph(self, model: TorchModel) -> FxGraph:
        """The fused float graph of a loaded model, traced once."""
        found = self._graphs.get(model)
        if found is None:
            with guarded():
                found = graph_of(model)
            self._graphs[model] = found
        return found
