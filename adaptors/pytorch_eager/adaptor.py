"""The adaptor for PyTorch's eager quantization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from autoq.adaptors.pytorch import artifact, exporting
from autoq.adaptors.pytorch.candidate import TorchCandidate, module_bytes
from autoq.adaptors.pytorch.floats import float_candidate
from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel, load
from autoq.adaptors.pytorch.profile import profile_modules
from autoq.adaptors.pytorch.support import told_as_trial
from autoq.adaptors.pytorch.usability import usability
from autoq.adaptors.pytorch_eager import calibrate, curvature, local_errors
from autoq.adaptors.pytorch_eager.base import base_of
from autoq.adaptors.pytorch_eager.build import build, realized
from autoq.adaptors.pytorch_eager.capabilities import capability_table
from autoq.adaptors.pytorch_eager.export import reference
from autoq.adaptors.pytorch_eager.fusion import EagerOp
from autoq.adaptors.pytorch_eager.record import op_modules, tuning_record
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.deployment import ExportedModel, ExportSettings
from autoq.core.errors import TrialError, UnsupportedError
from autoq.core.plan import Plan
from autoq.core.precision import Mode, Observer
from autoq.core.statistics import Calibration, Needs


class EagerAdaptor:
    """Puts quantized modules in the place of float ones, without a graph of the model."""

    framework = "pytorch_eager"

    def load(self, source: ModelSource) -> TorchModel:
        """Read a model and run it once; see `autoq.adaptors.pytorch.model.load`."""
        return load(source)

    def capabilities(self, model: TorchModel) -> CapabilityTable:
        """Which module can run in which precision."""
        return capability_table(model)

    def needs(self, model: TorchModel, table: CapabilityTable) -> Needs:
        """Inputs and results of every op that has a static form."""
        ops = base_of(model).fusion.ops
        static = {row.op.id: [p for p in row.precisions if p.mode is Mode.STATIC] for row in table}
        names = dict.fromkeys(name for op_id, ps in static.items() if ps for name in _tensors(ops[op_id]))
        observers = {p.activation.observer for ps in static.values() for p in ps if p.activation is not None}
        return Needs(tuple(names), histogram=bool(observers - {Observer.MINMAX}))

    def transform(self, model: TorchModel, recipe: Recipe, calibration: Calibration) -> TorchModel:  # noqa: ARG002
        """There are no recipes that rewrite weights."""
        raise UnsupportedError(f"pytorch_eager has no recipe '{recipe.name}'", hint="remove it from the job")

    def calibrate(self, model: TorchModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass."""
        return calibrate.collect(model, batches, needs)

    def observe(
        self, model: TorchModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """Intermediate tensors, batch by batch."""
        return calibrate.observe(model, batches, tensors)

    def local_errors(
        self,
        model: TorchModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """Relative squared error each op of a plan makes by itself; see `local_errors.local_errors`."""
        return local_errors.local_errors(model, plan, calibration, batches, options)

    def curvature(
        self, model: TorchModel, plan: Plan, batches: Iterable[Batch], *, seed: int, draws: int, options: RunOptions
    ) -> Mapping[str, float]:
        """What rounding the weights of each op does to the output, to second order; see `pytorch.curvature`."""
        return curvature.curvature(model, plan, batches, seed, draws, options)

    def apply(
        self, model: TorchModel, plan: Plan, calibration: Calibration | None, options: RunOptions
    ) -> TorchCandidate:
        """Build what the plan says. Without quantized ops, recipes compile or narrow the user's own model.

        Raises:
            TrialError: The plan could not be built.
        """
        if not plan.precisions:
            return float_candidate(model, plan, options)
        if plan.recipes:
            names = ", ".join(r.label for r in plan.recipes)
            raise TrialError(f"eager PyTorch runs quantized ops without recipes, and the plan has: {names}")
        base = base_of(model)
        with told_as_trial(), guarded(options.threads):
            module = build(base, plan, calibration)
            found = realized(base, module, plan)
            record = tuning_record(base, module, found)
            size = module_bytes(module)
        return TorchCandidate(
            run=module,
            signature=model.signature,
            outputs=model.outputs,
            plan=plan,
            realized=found,
            native=module,
            size_bytes=size,
            options=options,
            record=record,
            model=model,
        )

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch, by the module that does it."""
        ours = _ours(candidate)
        model = ours.model
        if model is None:
            raise UnsupportedError("only a candidate built from a plan can be profiled by op")
        modules = op_modules(model, ours.native)
        if not modules:
            # A captured graph calls functions; the same graph made of modules can be timed.
            base = base_of(model).module
            ours, modules = replace(ours, run=base, native=base), op_modules(model, base)
        return profile_modules(ours, inputs, modules)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write the model, and what is known of it, into an existing, empty folder."""
        return artifact.save(_ours(candidate), folder, self.framework)

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote; needs none of the user's code."""
        return artifact.load_artifact(folder, options)

    def export_onnx(
        self, model: TorchModel, plan: Plan, calibration: Calibration | None, file: Path, settings: ExportSettings
    ) -> ExportedModel:
        """Write what a plan describes as one ONNX file; needs the packages of ``autoq[deployment]``."""
        make = partial(reference, model, plan, calibration)
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
        make = partial(reference, model, plan, calibration)
        return exporting.exported_tensors(model, self.capabilities(model).ops, plan, make, tensors, inputs)

    def usability(self) -> Usability:
        """Versions, and what is missing."""
        return usability("torch", "safetensors", eager_quantization=True)


def _ours(candidate: Candidate) -> TorchCandidate:
    if not isinstance(candidate, TorchCandidate):
        raise UnsupportedError(f"this is not a PyTorch candidate but a {type(candidate).__name__}")
    return candidate


def _tensors(op: EagerOp) -> tuple[str, str]:
    return op.source, op.result
