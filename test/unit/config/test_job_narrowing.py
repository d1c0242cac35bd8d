"""What is left out of a search for speed, and what brings it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoq.config.loader import parse_job
from autoq.config.rules import space
from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ConfigError
from autoq.core.precision import FP32, DType, Granularity, Mode, OpPrecision, TensorQuant
from autoq.core.space import Space

WEIGHT = TensorQuant(DType.INT8, granularity=Granularity.PER_CHANNEL)
INT8 = OpPrecision(Mode.STATIC, WEIGHT, TensorQuant(DType.INT8))
INT16 = OpPrecision(Mode.STATIC, WEIGHT, TensorQuant(DType.INT16))
DYNAMIC = OpPrecision(Mode.DYNAMIC, WEIGHT, TensorQuant(DType.INT8))
DYNAMIC4 = OpPrecision(Mode.DYNAMIC, TensorQuant(DType.INT4), TensorQuant(DType.INT8))
WEIGHT8 = OpPrecision(Mode.WEIGHT_ONLY, WEIGHT)
WEIGHT4 = OpPrecision(Mode.WEIGHT_ONLY, TensorQuant(DType.INT4, granularity=Granularity.PER_CHANNEL))
FP16 = OpPrecision(Mode.FP16)

CONV = Capability(
    Op("conv", "CONV_2D"),
    (INT8, DYNAMIC, WEIGHT8, WEIGHT4, FP16, INT16, FP32),
    costs=(0.2, 1.9, 1.0, 1.1, 1.0, 25.0, 1.0),
)
ADD = Capability(Op("add", "ADD"), (INT8, INT16, FP32), costs=(2.5, 30.0, 1.0))


AUTO = "post_training_auto_quant"
TABLE = CapabilityTable((CONV, ADD))


def left(text: str = f"quantization: {{approach: {AUTO}}}", table: CapabilityTable = TABLE):
    job = parse_job(f"model: {{framework: tensorflow_lite, path: m.tflite}}\n{text}\n", "job.yaml", Path())
    found = space(job, table)
    return {u.id: u.precisions for u in found.units}, found.notes


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_what_is_no_faster_is_left_out_where_only_speed_counts(objective):
    found, notes = left(f"quantization: {{approach: {AUTO}}}\ntuning: {{objective: {objective}}}")
    assert found["conv"] == (INT8, DYNAMIC, FP32)
    assert len(notes) == 3


def test_an_8_bit_op_that_is_slower_by_itself_stays():
    assert left()[0]["add"] == (INT8, FP32)


def test_weights_of_4_bits_are_judged_op_by_op():
    slow = Capability(Op("conv", "CONV_2D"), (INT8, DYNAMIC4, FP32), costs=(0.2, 1.1, 1.0))
    fast = Capability(Op("dense", "FULLY_CONNECTED"), (INT8, DYNAMIC4, FP32), costs=(0.4, 0.4, 1.0))
    found, notes = left(table=CapabilityTable((slow, fast)))
    assert found == {"conv": (INT8, FP32), "dense": (INT8, DYNAMIC4, FP32)}
    assert notes[0].startswith("4-bit weights left out")


def test_16_bit_activations_are_judged_for_all_ops_together():
    quick = Capability(Op("concat", "CONCATENATION"), (INT8, INT16, FP32), costs=(0.4, 0.7, 1.0))
    assert left(table=CapabilityTable((CONV, ADD, quick)))[0]["concat"] == (INT8, FP32)


def test_notes_say_what_was_measured_and_how_to_ask_for_it():
    notes = "\n".join(left()[1])
    assert "weight-only left out: speed is all this job wants, and alone such an op takes 1 to 1.1" in notes
    assert "naming mode weight_only in the job brings it back" in notes
    assert "16-bit activations left out" in notes
    assert "takes 25 to 30 times as long as in fp32" in notes
    assert "naming dtype int16" in notes


@pytest.mark.parametrize("tuning", ["objective: size", "objective: memory", "objectives: {latency: 2, size: 1}"])
def test_where_size_counts_everything_stays(tuning):
    found, notes = left(f"quantization: {{approach: {AUTO}}}\ntuning: {{{tuning}}}")
    assert found["conv"] == CONV.precisions
    assert notes == ()


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("model_wise: {modes: [static, weight_only]}", {INT8, WEIGHT8, WEIGHT4, FP32}),
        ("optype_wise: {CONV_2D: {activation: {dtype: [int16, int8]}}}", {INT8, DYNAMIC, INT16, FP32}),
        ("op_wise: {conv: {weight: {dtype: [int8, int4]}}}", {INT8, DYNAMIC, WEIGHT8, WEIGHT4, FP32}),
        ("op_wise: {conv: {modes: [static, fp16]}}", {INT8, FP16, FP32}),
    ],
)
def test_what_a_job_names_stays(rules, kept):
    assert set(left(f"quantization: {{approach: {AUTO}, {rules}}}")[0]["conv"]) == kept


def test_the_approach_weight_only_names_its_mode():
    found, _ = left("quantization: {approach: weight_only}")
    assert found["conv"] == (WEIGHT8, WEIGHT4, FP32)


def test_what_was_not_measured_stays():
    bare = CapabilityTable((Capability(Op("conv", "CONV_2D"), (INT8, WEIGHT8, FP32)),))
    assert left(table=bare)[0]["conv"] == (INT8, WEIGHT8, FP32)


def test_what_is_faster_here_stays():
    quick = CapabilityTable((Capability(Op("conv", "CONV_2D"), (INT8, WEIGHT8, FP32), costs=(0.5, 0.8, 1.0)),))
    assert left(table=quick)[0]["conv"] == (INT8, WEIGHT8, FP32)


def test_nothing_is_left_out_where_nothing_else_is_left():
    only = CapabilityTable((Capability(Op("conv", "CONV_2D"), (WEIGHT8, FP32), costs=(1.0, 1.0)),))
    assert left(table=only)[0]["conv"] == (WEIGHT8, FP32)


def test_a_rule_that_matches_nothing_is_still_told_with_its_place():
    with pytest.raises(ConfigError, match=r"job\.yaml:2:\d+: op 'convv' matches nothing"):
        left(f"quantization: {{approach: {AUTO}, op_wise: {{convv: {{fallback: false}}}}}}")


def test_a_space_keeps_its_notes_through_json():
    job = parse_job(
        f"model: {{framework: tensorflow_lite, path: m.tflite}}\nquantization: {{approach: {AUTO}}}\n", "j", Path()
    )
    found = space(job, TABLE)
    assert Space.from_json(found.to_json()) == found
    assert found.notes
