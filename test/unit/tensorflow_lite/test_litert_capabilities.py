"""The capability table: the quantizer's policy, the model's shapes, what was measured."""

from __future__ import annotations

import pytest

from autoq.adaptors.tensorflow_lite.capabilities import capability_table
from autoq.adaptors.tensorflow_lite.micro import PROBED, micro_model
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import FOLLOWS, LOOKUPS, WORKS
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.adaptors.tensorflow_lite.support import FP16, kernel, support
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError
from autoq.core.precision import DType, Granularity, Mode, OpPrecision


def precisions(op_type: str, probed: dict[tuple[str, str], float | None] | None = None) -> tuple[OpPrecision, ...]:
    return capability_table(load(ModelSource(micro_model(op_type))), probed or {})[PROBED].precisions


def test_a_convolution_has_every_mode() -> None:
    assert {p.mode for p in precisions("CONV_2D")} == {
        Mode.STATIC,
        Mode.DYNAMIC,
        Mode.WEIGHT_ONLY,
        Mode.FP16,
        Mode.FP32,
    }


def test_the_best_precision_is_static_int8_per_channel() -> None:
    assert precisions("CONV_2D")[0].label == "static s8s8 per_channel minmax"


@pytest.mark.parametrize("op_type", ["CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP"])
def test_weights_come_in_4_bits(op_type: str) -> None:
    assert any(p.weight and p.weight.dtype is DType.INT4 for p in precisions(op_type))


def test_a_depthwise_convolution_has_no_4_bit_weights() -> None:
    assert not any(p.weight and p.weight.dtype is DType.INT4 for p in precisions("DEPTHWISE_CONV_2D"))


def test_groups_need_rows_they_divide(transformer: LiteModel) -> None:
    table = capability_table(transformer, {})
    for op in transformer.ops:
        if op.type != "FULLY_CONNECTED" or op.weight is None:
            continue
        grouped = any(p.weight and p.weight.granularity is Granularity.PER_GROUP for p in table[op.id].precisions)
        assert grouped == ((transformer.graph.tensors[op.weight].shape[-1] or 0) % 32 == 0)


def test_costs_go_with_precisions(cnn: LiteModel) -> None:
    for row in capability_table(cnn, {}):
        assert len(row.costs) == len(row.precisions)
        assert row.costs[-1] == 1.0


def test_16_bit_activations_are_known_to_be_slow(cnn: LiteModel) -> None:
    row = capability_table(cnn, {})[cnn.ops[0].id]
    costs = dict(zip(row.precisions, row.costs, strict=True))
    slow = next(p for p in row.precisions if p.activation and p.activation.dtype is DType.INT16)
    assert (costs[slow] or 0) > 10


def test_what_takes_far_longer_in_8_bits_stays_float_and_says_why() -> None:
    row = capability_table(load(ModelSource(micro_model("RELU"))), {})[PROBED]
    assert row.precisions == (OpPrecision(Mode.FP32),)
    assert "times as long" in row.note


def test_probed_costs_win() -> None:
    best = precisions("CONV_2D")[0]
    model = load(ModelSource(micro_model("CONV_2D")))
    row = capability_table(model, {("CONV_2D", kernel(best)): 0.125})[PROBED]
    assert row.costs[0] == 0.125
    assert row.origin == "probed on this machine"


def test_a_cell_that_was_found_to_run_in_float_is_left_out() -> None:
    best = precisions("CONV_2D")[0]
    found = precisions("CONV_2D", {("CONV_2D", kernel(best)): None})
    assert not any(kernel(p) == kernel(best) for p in found)


def test_float16_is_for_stored_weights_only() -> None:
    assert FP16 in precisions("FULLY_CONNECTED")
    assert FP16 not in precisions("ADD")


def test_a_model_without_such_ops_says_why() -> None:
    with pytest.raises(ModelError, match="no op that can be quantized") as raised:
        capability_table(load(ModelSource(micro_model("BATCH_MATMUL"))), {})
    assert "BATCH_MATMUL: 8 bits take" in (raised.value.hint or "")


@pytest.mark.parametrize("op_type", sorted(WORKS | FOLLOWS | LOOKUPS))
def test_every_measured_cell_is_one_of_the_policy(op_type: str) -> None:
    known = support()
    entry = known.ops[op_type]
    cells = {kernel(p) for p in (*entry.precisions, *entry.inner)}
    assert {cell for name, cell in known.costs if name == op_type} <= cells
    assert any(name == op_type for name, _ in known.costs)
