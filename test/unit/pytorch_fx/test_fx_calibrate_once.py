"""A trial from statistics collected once equals one calibrated from scratch, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import small_torch
import torch
from fx_from_scratch import from_scratch, grids

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.outputs import flatten
from autoq.adaptors.pytorch_fx.adaptor import FxAdaptor
from autoq.adaptors.pytorch_fx.graph import FxGraph
from autoq.adaptors.pytorch_fx.trace import traced
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import Plan
from autoq.core.precision import FP32, Mode, Observer, OpPrecision, Scheme
from autoq.core.space import Space, SpaceRules
from autoq.core.statistics import Calibration


@dataclass(frozen=True)
class Case:
    """A model, calibrated once."""

    name: str
    adaptor: FxAdaptor
    model: TorchModel
    graph: FxGraph
    table: CapabilityTable
    calibration: Calibration
    batches: Sequence[Batch]

    def assert_equal_to_scratch(self, plan: Plan) -> None:
        # torch.ao converts these to a kernel that computes something else; here they are widened first.
        transposed = [op.id for op in self.graph.ops if op.type == "ConvTranspose2d"]
        plan = plan.with_precisions(dict.fromkeys(transposed, FP32))
        candidate = self.adaptor.apply(self.model, plan, self.calibration, RunOptions())
        with guarded():
            module = traced(self.model)
        reference = from_scratch(self.model, self.graph, plan, self.batches, module)
        assert grids(candidate.native) == grids(reference)
        for batch in self.batches:
            args, kwargs = self.model.signature.bind(batch.inputs)
            with guarded():
                found, want = flatten(candidate.native(*args, **kwargs)), flatten(reference(*args, **kwargs))
            assert list(found) == list(want)
            assert all(torch.equal(found[name], want[name]) for name in want)


def case_of(name: str) -> Case:
    adaptor = FxAdaptor()
    model = adaptor.load(ModelSource(small_torch.FACTORIES[name](), example=lambda: small_torch.inputs_for(name)))
    table, batches = adaptor.capabilities(model), small_torch.batches_for(name)
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    return Case(name, adaptor, model, adaptor.graph(model), table, calibration, batches)


NAMES = (
    "small_mlp",
    "small_cnn",
    "small_transformer",
    "small_unet",
    "small_detector",
    "shared_weights",
    "called_twice",
)


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


def minmax_only(table: CapabilityTable, modes: tuple[Mode, ...]) -> dict[str, list[OpPrecision]]:
    """What torch.ao's own observers can do: whole ranges, uint8 activations."""
    found = {}
    for row in table:
        kept = [p for p in row.precisions if p.mode in modes and _is_plain(p)]
        if kept:
            found[row.op.id] = kept
    return found


def _is_plain(precision: OpPrecision) -> bool:
    activation = precision.activation
    return activation is None or (activation.observer is Observer.MINMAX and activation.scheme is Scheme.ASYM)


def test_full_plan(case: Case) -> None:
    case.assert_equal_to_scratch(Space.of(case.table, SpaceRules(modes=(Mode.STATIC,))).full_plan())


def test_each_single_fallback(case: Case) -> None:
    full = Space.of(case.table, SpaceRules(modes=(Mode.STATIC,))).full_plan()
    if len(full) < 2:
        case.assert_equal_to_scratch(full)
    for op in list(full)[:6]:
        if len(full) > 1:
            case.assert_equal_to_scratch(full.with_precisions({op: FP32}))


@pytest.mark.parametrize("seed", range(4))
def test_random_mixed_plans(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    choices = minmax_only(case.table, (Mode.STATIC,))
    plan = {}
    for op, precisions in choices.items():
        number = int(rng.integers(len(precisions) + 1))
        plan[op] = precisions[number] if number < len(precisions) else FP32
    if all(p is FP32 for p in plan.values()):
        plan[next(iter(plan))] = choices[next(iter(plan))][0]
    case.assert_equal_to_scratch(Plan(plan))


@pytest.mark.parametrize("name", ["small_mlp", "small_transformer", "shared_weights"])
def test_dynamic_plans_need_no_statistics(name: str) -> None:
    case = case_of(name)
    plan = Space.of(case.table, SpaceRules(modes=(Mode.DYNAMIC,))).full_plan()
    case.assert_equal_to_scratch(plan)
    without = case.adaptor.apply(case.model, plan, None, RunOptions())
    assert without.realized == plan
