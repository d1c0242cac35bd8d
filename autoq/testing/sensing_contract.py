"""What every adaptor must do that tells how sensitive ops are: the error each makes by itself, and curvature."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from autoq.core.adaptor import Adaptor, Candidate, Curvature, LocalErrors, Model
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.errors import AutoqError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode
from autoq.core.space import Space
from autoq.core.statistics import Calibration
from autoq.testing.contract_fixtures import ContractFixtures
from autoq.testing.outputs import OPTIONS, assert_close, named

_DRAWS = 4


class SensingContract(ContractFixtures):
    """Part of `AdaptorContract`; an adaptor without these services has nothing to keep."""

    # -- local errors ------------------------------------------------------------------------------------------

    @pytest.fixture
    def local_errors(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> Mapping[str, float]:
        """Of the plan in which every op runs in its best precision; empty where the adaptor cannot tell."""
        return _errors(adaptor, model, Space.of(table).full_plan(), calibration, batches)

    def test_quantized_ops_have_local_errors(
        self, adaptor: Adaptor[Any], table: CapabilityTable, full: Candidate, local_errors: Mapping[str, float]
    ) -> None:
        """Every op that runs quantized has one, most are above zero, and none is as large as the output itself."""
        if not isinstance(adaptor, LocalErrors):
            return
        plan = Space.of(table).full_plan()
        assert {op for op, p in full.realized.precisions.items() if not p.is_float} <= set(local_errors)
        assert set(local_errors) <= {op for op, p in plan.precisions.items() if not p.is_float}
        assert all(math.isfinite(error) and error >= 0 for error in local_errors.values())
        assert sum(error > 0 for error in local_errors.values()) > len(local_errors) / 2

    def test_float_ops_have_no_local_errors(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
        local_errors: Mapping[str, float],
    ) -> None:
        """Nor do other ops change with them: each is fed what the float model computes."""
        assert _errors(adaptor, model, FP32_PLAN, calibration, batches) == {}
        full = Space.of(table).full_plan()
        half = [op for number, op in enumerate(local_errors) if number % 2 == 0]
        found = _errors(adaptor, model, Plan({op: full[op] for op in half}), calibration, batches)
        assert sorted(found) == sorted(half)
        # Neighbours may choose the grid of a tensor they share, and so move an error a little.
        assert all(0.3 * local_errors[op] <= found[op] <= 3 * local_errors[op] for op in half)

    def test_local_errors_are_deterministic(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
        local_errors: Mapping[str, float],
    ) -> None:
        """Asked twice, an adaptor answers the same."""
        assert _errors(adaptor, model, Space.of(table).full_plan(), calibration, batches) == local_errors

    def test_local_errors_do_not_depend_on_the_batch_size(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
        local_errors: Mapping[str, float],
    ) -> None:
        """Samples are summed up; only ranges found at run time know which of them came together."""
        plan = Space.of(table).full_plan()
        found = _errors(adaptor, model, plan, calibration, [_merged(batches[:2], model), *batches[2:]])
        assert list(found) == list(local_errors)
        for op, error in local_errors.items():
            relative = 0.5 if plan[op].mode is Mode.DYNAMIC else 1e-2
            assert found[op] == pytest.approx(error, rel=relative, abs=1e-12), op

    def test_local_errors_stream(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
        local_errors: Mapping[str, float],
    ) -> None:
        """Batches are read once and in turn."""
        assert _errors(adaptor, model, Space.of(table).full_plan(), calibration, iter(batches)) == local_errors

    def test_local_errors_leave_the_model_alone(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        """The float model answers as before."""
        before = adaptor.apply(model, FP32_PLAN, None, OPTIONS).predict(batches[0].inputs)
        fingerprint = model.fingerprint
        _errors(adaptor, model, Space.of(table).full_plan(), calibration, batches)
        assert model.fingerprint == fingerprint
        assert adaptor.capabilities(model) == table
        assert_close(adaptor.apply(model, FP32_PLAN, None, OPTIONS).predict(batches[0].inputs), before)

    def test_local_errors_of_an_unknown_op_are_an_autoq_error(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        """A plan of another model is told."""
        if not isinstance(adaptor, LocalErrors):
            return
        precision = next(iter(Space.of(table).full_plan().precisions.values()))
        with pytest.raises(AutoqError):
            adaptor.local_errors(model, Plan({"no such op": precision}), calibration, batches, OPTIONS)

    # -- curvature ---------------------------------------------------------------------------------------------

    def test_ops_with_weights_have_curvature(
        self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, batches: Sequence[Batch]
    ) -> None:
        """One number per op whose weight the plan quantizes, none below zero, and more than none above."""
        if not isinstance(adaptor, Curvature):
            return
        plan = Space.of(table).full_plan()
        found = adaptor.curvature(model, plan, batches, seed=0, draws=_DRAWS, options=OPTIONS)
        assert found
        assert set(found) <= {op for op, p in plan.precisions.items() if p.weight is not None}
        assert all(math.isfinite(value) and value >= 0 for value in found.values())
        assert any(value > 0 for value in found.values())

    def test_curvature_is_a_function_of_its_seed(
        self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, batches: Sequence[Batch]
    ) -> None:
        """Equal seeds give equal numbers, others others."""
        if not isinstance(adaptor, Curvature):
            return
        plan = Space.of(table).full_plan()
        one, again, other = (
            adaptor.curvature(model, plan, batches, seed=seed, draws=_DRAWS, options=OPTIONS) for seed in (5, 5, 6)
        )
        assert one == again
        assert one != other

    def test_curvature_leaves_the_model_alone(
        self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, batches: Sequence[Batch]
    ) -> None:
        """The float model answers as before."""
        if not isinstance(adaptor, Curvature):
            return
        before = adaptor.apply(model, FP32_PLAN, None, OPTIONS).predict(batches[0].inputs)
        fingerprint = model.fingerprint
        adaptor.curvature(model, Space.of(table).full_plan(), batches, seed=0, draws=1, options=OPTIONS)
        assert model.fingerprint == fingerprint
        assert_close(adaptor.apply(model, FP32_PLAN, None, OPTIONS).predict(batches[0].inputs), before)


def _errors(
    adaptor: Adaptor[Any], model: Model, plan: Plan, calibration: Calibration, batches: Iterable[Batch]
) -> Mapping[str, float]:
    if not isinstance(adaptor, LocalErrors):
        return {}
    return adaptor.local_errors(model, plan, calibration, batches, OPTIONS)


def _merged(batches: Sequence[Batch], model: Model) -> Batch:
    arrays = [named(batch.inputs, model) for batch in batches]
    inputs = {spec.name: np.concatenate([a[spec.name] for a in arrays]) for spec in model.inputs}
    return Batch(inputs, None, sum(batch.samples for batch in batches))
