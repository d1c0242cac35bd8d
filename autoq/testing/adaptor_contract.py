"""What every adaptor must do. Subclass `AdaptorContract`, say which model and data, inherit every test."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from autoq.core.adaptor import Adaptor, Candidate, Model, ModelSource
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.errors import AutoqError, ModelError, TrialError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.space import Space, Unit
from autoq.core.statistics import Calibration
from autoq.testing.deployed_contract import DeployedContract
from autoq.testing.outputs import OPTIONS, assert_close, forms, named, renamed
from autoq.testing.sensing_contract import SensingContract


class AdaptorContract(DeployedContract, SensingContract):
    """Inherit, set `framework`, define three fixtures, and run with pytest.

    The subclass (or its module) defines the fixtures

    - ``source``: a `ModelSource` of a small model that can be quantized, with outputs of fixed shape;
    - ``batches``: a list of `Batch`, a few samples each;
    - ``broken_source``: a `ModelSource` that cannot be loaded.
    """

    # -- loading -----------------------------------------------------------------------------------------------

    def test_two_loads_give_one_model(self, adaptor: Adaptor[Any], source: ModelSource) -> None:
        """Fingerprint and capability table (op ids, order, precisions) are stable across loads."""
        first, again = adaptor.load(source), adaptor.load(source)
        assert first.fingerprint == again.fingerprint
        assert adaptor.capabilities(first) == adaptor.capabilities(again)

    def test_model_describes_itself(self, model: Model) -> None:
        """Inputs, outputs and size are known after loading."""
        assert model.inputs
        assert model.outputs
        assert model.size_bytes > 0

    def test_broken_source_is_a_model_error(self, adaptor: Adaptor[Any], broken_source: ModelSource) -> None:
        """What cannot be loaded is reported as such, not as a framework's own exception."""
        with pytest.raises(ModelError):
            adaptor.load(broken_source)

    # -- capability table --------------------------------------------------------------------------------------

    def test_rows_end_in_float(self, table: CapabilityTable) -> None:
        """Every op can fall back, and at least one can be quantized."""
        assert all(row.precisions[-1].is_float for row in table)
        assert any(not row.precisions[0].is_float for row in table)

    def test_edges_follow_execution_order(self, table: CapabilityTable) -> None:
        """An edge joins two rows, and the producer runs first."""
        position = {op.id: i for i, op in enumerate(table.ops)}
        assert all(position[producer] < position[consumer] for producer, consumer in table.edges)

    def test_labels_tell_precisions_apart(self, table: CapabilityTable) -> None:
        """No two precisions of one op look the same to a reader of the table."""
        for row in table:
            labels = [p.label for p in row.precisions]
            assert len(set(labels)) == len(labels), row.op.id

    def test_table_survives_json(self, table: CapabilityTable) -> None:
        """A runner can send it to another process."""
        again = CapabilityTable.from_json(json.loads(json.dumps(table.to_json(), allow_nan=False)))
        assert again == table
        assert again.digest == table.digest

    # -- calibration -------------------------------------------------------------------------------------------

    def test_calibration_covers_its_needs(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        """Every tensor asked for has a range, and every sample was counted."""
        assert set(adaptor.needs(model, table).tensors) <= set(calibration.tensors)
        assert all(s.minimum <= s.maximum and s.elements > 0 for s in calibration.tensors.values())
        assert calibration.samples == sum(b.samples for b in batches)

    def test_calibrating_twice_gives_equal_statistics(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        """Statistics are a function of model, data and needs."""
        again = adaptor.calibrate(model, batches, adaptor.needs(model, table))
        assert again.digest == calibration.digest
        assert list(again.tensors) == list(calibration.tensors)
        for name, one in calibration.tensors.items():
            other = again.tensors[name]
            assert (one.minimum, one.maximum, one.low, one.high) == (
                other.minimum,
                other.maximum,
                other.low,
                other.high,
            )
            assert one.elements == other.elements
            assert np.array_equal(one.counts, other.counts)

    def test_observes_the_tensors_asked_for(
        self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, batches: Sequence[Batch]
    ) -> None:
        """One mapping per batch, with exactly the tensors asked for."""
        tensors = adaptor.needs(model, table).tensors[:3]
        seen = list(adaptor.observe(model, batches, tensors))
        assert [set(found) for found in seen] == [set(tensors)] * len(batches)

    def test_calibrating_on_wrong_names_is_an_autoq_error(
        self, adaptor: Adaptor[Any], model: Model, table: CapabilityTable, batches: Sequence[Batch]
    ) -> None:
        """Data that do not fit the model are reported, not a framework's own exception."""
        wrong = Batch(renamed(batches[0].inputs, model), None, batches[0].samples)
        with pytest.raises(AutoqError):
            adaptor.calibrate(model, [wrong], adaptor.needs(model, table))

    # -- candidates --------------------------------------------------------------------------------------------

    def test_empty_plan_is_fp32(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        batches: Sequence[Batch],
        reference: Callable[[Inputs], Outputs] | None,
    ) -> None:
        """The empty plan needs no calibration, quantizes nothing, and gives the framework's own outputs."""
        candidate = adaptor.apply(model, FP32_PLAN, None, OPTIONS)
        assert candidate.realized == FP32_PLAN
        for batch in batches:
            found = candidate.predict(batch.inputs)
            assert list(found) == [spec.name for spec in model.outputs]
            if reference is not None:
                assert_close(found, reference(batch.inputs), self.reference_tolerance)

    def test_full_plan_gives_finite_outputs_of_the_same_form(
        self, adaptor: Adaptor[Any], model: Model, full: Candidate, batches: Sequence[Batch]
    ) -> None:
        """Names, shapes and dtypes are those of fp32, and no number is infinite or NaN."""
        fp32 = adaptor.apply(model, FP32_PLAN, None, OPTIONS)
        for batch in batches:
            want, found = fp32.predict(batch.inputs), full.predict(batch.inputs)
            assert forms(found) == forms(want)
            assert all(np.isfinite(a).all() for a in found.values() if a.dtype.kind == "f")

    def test_full_plan_quantizes_something(self, full: Candidate) -> None:
        """What is realized is not just fp32, and the saved form has a size."""
        assert any(not full.realized[op].is_float for op in full.realized)
        assert full.size_bytes > 0

    def test_realized_lies_in_the_table(self, full: Candidate, table: CapabilityTable) -> None:
        """Only ops of the table, only in precisions that the table offers for them."""
        for op, precision in full.realized.precisions.items():
            assert op in table
            assert precision in table[op].precisions, op

    def test_apply_leaves_the_model_alone(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        """Building and running a quantized candidate changes neither fingerprint nor fp32 outputs."""
        fingerprint, inputs = model.fingerprint, batches[0].inputs
        before = adaptor.apply(model, FP32_PLAN, None, OPTIONS).predict(inputs)
        adaptor.apply(model, Space.of(table).full_plan(), calibration, OPTIONS).predict(inputs)
        assert model.fingerprint == fingerprint
        assert adaptor.capabilities(model) == table
        assert_close(adaptor.apply(model, FP32_PLAN, None, OPTIONS).predict(inputs), before)

    def test_apply_is_repeatable(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        full: Candidate,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        """The same plan built again gives the same outputs and the same realized plan."""
        again = adaptor.apply(model, Space.of(table).full_plan(), calibration, OPTIONS)
        assert again.realized == full.realized
        for batch in batches:
            assert_close(again.predict(batch.inputs), full.predict(batch.inputs))

    def test_single_unit_plans_build_or_say_why(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        calibration: Calibration,
        batches: Sequence[Batch],
    ) -> None:
        """One unit quantized, all else float: it runs and quantizes nothing else, or raises a `TrialError`."""
        plans = single_unit_plans(Space.of(table), self.single_op_plans)
        built = 0
        for plan in plans:
            try:
                candidate = adaptor.apply(model, plan, calibration, OPTIONS)
            except TrialError:
                continue
            built += 1
            assert set(candidate.realized) <= set(plan)
            candidate.predict(batches[0].inputs)
            candidate.close()
        assert built > 0

    def test_close_is_idempotent(self, full: Candidate) -> None:
        """Closing again does nothing."""
        full.close()
        full.close()

    # -- bad input ---------------------------------------------------------------------------------------------

    def test_wrong_input_name_is_an_autoq_error(self, full: Candidate, model: Model, batches: Sequence[Batch]) -> None:
        """An input the model does not have."""
        with pytest.raises(AutoqError):
            full.predict(renamed(batches[0].inputs, model))

    def test_missing_input_is_an_autoq_error(self, full: Candidate) -> None:
        """No input at all."""
        with pytest.raises(AutoqError):
            full.predict({})

    def test_wrong_rank_is_an_autoq_error(self, full: Candidate, model: Model, batches: Sequence[Batch]) -> None:
        """An axis too many."""
        inputs = named(batches[0].inputs, model)
        with pytest.raises(AutoqError):
            full.predict({name: array[np.newaxis] for name, array in inputs.items()})

    def test_wrong_dtype_is_an_autoq_error(self, full: Candidate, model: Model, batches: Sequence[Batch]) -> None:
        """Complex numbers, which no input takes."""
        inputs = named(batches[0].inputs, model)
        with pytest.raises(AutoqError):
            full.predict({name: np.zeros(array.shape, np.complex64) for name, array in inputs.items()})

    def test_unknown_recipe_is_an_autoq_error(
        self, adaptor: Adaptor[Any], model: Model, calibration: Calibration
    ) -> None:
        """A rewrite the adaptor does not have."""
        with pytest.raises(AutoqError):
            adaptor.transform(model, Recipe("no_such_recipe"), calibration)

    # -- costs and versions ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("quantized", [False, True])
    def test_profile_knows_the_ops(
        self,
        adaptor: Adaptor[Any],
        model: Model,
        table: CapabilityTable,
        full: Candidate,
        batches: Sequence[Batch],
        quantized: bool,
    ) -> None:
        """Seconds belong to ops of the table and are not negative; some time was spent."""
        candidate = full if quantized else adaptor.apply(model, FP32_PLAN, None, OPTIONS)
        costs = adaptor.profile(candidate, batches[0].inputs)
        assert costs.seconds
        assert all(op in table for op in costs.seconds)
        assert min(*costs.seconds.values(), costs.overhead) >= 0
        assert sum(costs.seconds.values()) + costs.overhead > 0

    def test_usability_names_versions(self, adaptor: Adaptor[Any]) -> None:
        """Where its tests run, an adaptor is usable, and says with which versions."""
        usability = adaptor.usability()
        assert usability.usable
        assert usability.versions
        assert all(usability.versions.values())
        assert not usability.missing


def single_unit_plans(space: Space, count: int) -> list[Plan]:
    """Plans that quantize one unit each, spread over the model; precisions take turns."""
    units = [u for u in space.units if u.is_quantizable and u.float_index is not None]
    chosen = [units[i] for i in dict.fromkeys(np.linspace(0, len(units) - 1, count).round().astype(int))]
    floats = {u.id: u.float_index or 0 for u in space.units}
    return [space.plan({**floats, u.id: _turn(u, n)}) for n, u in enumerate(chosen)]


def _turn(unit: Unit, number: int) -> int:
    quantized = [i for i, p in enumerate(unit.precisions) if not p.is_float]
    return quantized[number % len(quantized)]
