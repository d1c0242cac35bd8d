"""A toy framework in pure NumPy whose best plan is known: for tests of strategies, tuner and runners.

Time is simulated, so latencies are exact. A model may be of the kind that is compiled: then a candidate is scored on a
reference, and its compiled form may answer otherwise.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from autoq.calibration.output_error import OutputErrors
from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs
from autoq.core.capability import Capability, CapabilityTable, Op, Recipe
from autoq.core.digest import digest_of
from autoq.core.errors import ModelError, TrialError
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration, Needs, TensorStatistics
from autoq.testing.toy_candidate import ToyCandidate, ToyReference, only_input
from autoq.testing.toy_model import EAGER, INT8, ToyModel, ToyOp, best_plan

__all__ = ["INT8", "ToyAdaptor", "ToyCandidate", "ToyModel", "ToyOp", "best_plan"]

_FILE = "toy.json"


class ToyAdaptor:
    """The adaptor protocol over toy models. Its `clock` is simulated."""

    def __init__(self) -> None:
        self._now = 0.0

    def clock(self) -> float:
        """Simulated seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let simulated time pass."""
        self._now += seconds

    def load(self, source: ModelSource) -> ToyModel:
        """A `ToyModel`, or the path of a saved one."""
        if isinstance(source.model, ToyModel):
            return source.model
        return ToyModel.read(Path(source.model))

    def capabilities(self, model: ToyModel) -> CapabilityTable:
        """int8, variants and float for every op, and the model's recipes."""
        rows = tuple(Capability(Op(op.id, op.type), op.precisions, op.group, "toy") for op in model.ops)
        edges = tuple(itertools.pairwise(op.id for op in model.ops))
        return CapabilityTable(rows, edges, model.recipes, model.float_recipes)

    def needs(self, model: ToyModel, table: CapabilityTable) -> Needs:
        """The range of the input."""
        del model, table
        return Needs(("margin",), histogram=False)

    def transform(self, model: ToyModel, recipe: Recipe, calibration: Calibration) -> ToyModel:  # noqa: ARG002
        """There are no recipes that rewrite weights.

        Raises:
            TrialError: Always.
        """
        raise TrialError(f"toy models have no recipe '{recipe.name}'")

    def calibrate(self, model: ToyModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Range of the input."""
        low, high, samples = np.inf, -np.inf, 0
        for batch in batches:
            array = only_input(batch.inputs)
            low, high = min(low, float(array.min())), max(high, float(array.max()))
            samples += batch.samples
        statistics = TensorStatistics(low, high, np.zeros(0, np.int64), low, high, samples)
        digest = digest_of([model.fingerprint, list(needs.tensors), low, high, samples])
        return Calibration({"margin": statistics}, samples, digest)

    def observe(
        self, model: ToyModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """The input, the only tensor there is."""
        del model, tensors
        for batch in batches:
            yield {"margin": only_input(batch.inputs)}

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """The ops' own seconds."""
        del inputs
        assert isinstance(candidate, ToyCandidate)
        realized = candidate.realized
        return OpCosts({o.id: o.seconds_in(realized[o.id]) for o in candidate.model.ops})

    def local_errors(
        self,
        model: ToyModel,
        plan: Plan,
        calibration: Calibration | None,
        batches: Iterable[Batch],
        options: RunOptions,
    ) -> Mapping[str, float]:
        """What each int8 op alone does to the score, relative to the margins: an op makes noise whatever it is fed.

        Raises:
            TrialError: The plan names an unknown op.
        """
        del calibration, options
        ops = {op.id: op for op in model.ops}
        unknown = next((op for op in plan if op not in ops), None)
        if unknown is not None:
            raise TrialError("this toy model has no such op", where=unknown)
        errors = OutputErrors()
        chosen = [op for op in model.ops if not plan[op.id].is_float and op.fault != "refuse"]
        for batch in batches:
            margins = np.asarray(only_input(batch.inputs), np.float64)
            for op in chosen:
                errors.add(op.id, margins.size * op.noise**2, float(np.square(margins).sum()))
        return errors.relative()

    def apply(self, model: ToyModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> ToyCandidate:
        """The model under a plan."""
        del options
        if plan.precisions and calibration is None:
            raise TrialError("static quantization needs a calibration")
        unknown = [r.label for r in plan.recipes if r not in {x for s in model.float_recipes for x in s}]
        if unknown:
            raise TrialError(f"this toy model has no recipe '{unknown[0]}'")
        compiles = model.compile_seconds is not None and EAGER not in plan.recipes
        return (ToyReference if compiles else ToyCandidate)(self.advance, model, plan)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Model and plan as JSON.

        Raises:
            TrialError: A reference, which nobody deploys.
        """
        assert isinstance(candidate, ToyCandidate)
        if isinstance(candidate, ToyReference):
            raise TrialError("only the compiled form of a toy model is saved")
        data = {"model": asdict(candidate.model), "plan": candidate.realized.to_json()}
        (folder / _FILE).write_text(json.dumps(data))
        return Artifact(folder, (_FILE,))

    def load_artifact(self, folder: Path, options: RunOptions) -> ToyCandidate:
        """What `save` wrote."""
        del options
        try:
            data = json.loads((folder / _FILE).read_text())
            return ToyCandidate(self.advance, ToyModel.from_json(data["model"]), Plan.from_json(data["plan"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a saved toy model: {error}", where=str(folder)) from error

    def usability(self) -> Usability:
        """Always usable."""
        return Usability(True, {"numpy": np.__version__})
