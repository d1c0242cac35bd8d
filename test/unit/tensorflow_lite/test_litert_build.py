"""From a plan to a file, and back from the file to what is realized."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import small_tf

from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.calibrator import collect
from autoq.adaptors.tensorflow_lite.candidate import LiteCandidate
from autoq.adaptors.tensorflow_lite.capabilities import capability_table
from autoq.adaptors.tensorflow_lite.graph import graph_of, parse
from autoq.adaptors.tensorflow_lite.micro import PROBED, micro_model
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.ops import MOVES
from autoq.adaptors.tensorflow_lite.ranges import observable
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.adaptors.tensorflow_lite.realized import realized_plan
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision
from autoq.core.space import Space
from autoq.core.statistics import Calibration, Needs

OPTIONS = RunOptions(threads=1)


def candidate(model: LiteModel, plan: Plan, calibration: Calibration | None) -> LiteCandidate:
    return LiteCandidate(build(model, plan, calibration), plan, model.interface, model, OPTIONS)


def uniform(model: LiteModel) -> Iterator[tuple[str, Plan]]:
    """For each precision the plan in which every op that has it runs in it."""
    found: dict[str, dict[str, OpPrecision]] = {}
    for row in capability_table(model, {}):
        for precision in row.precisions[:-1]:
            found.setdefault(precision.label, {})[row.op.id] = precision
    for label, precisions in found.items():
        yield label, Plan(precisions)


def error(model: LiteModel, plan: Plan, calibration: Calibration, inputs: np.ndarray) -> float:
    (want,) = candidate(model, FP32_PLAN, None).predict(inputs).values()
    (found,) = candidate(model, plan, calibration).predict(inputs).values()
    return float(np.linalg.norm(found - want) / np.linalg.norm(want))


def test_every_precision_is_realized_as_asked(cnn: LiteModel, calibration: Calibration) -> None:
    for label, plan in uniform(cnn):
        assert candidate(cnn, plan, calibration).realized == plan, label


def test_every_precision_of_the_transformer_is_realized_as_asked(
    transformer: LiteModel, token_calibration: Calibration
) -> None:
    for label, plan in uniform(transformer):
        assert candidate(transformer, plan, token_calibration).realized == plan, label


def test_outputs_stay_near_float(cnn: LiteModel, calibration: Calibration, pictures: np.ndarray) -> None:
    for label, plan in uniform(cnn):
        limit = 0.15 if "s4" in label else 0.03
        assert error(cnn, plan, calibration, pictures) < limit, label


def test_outputs_of_the_transformer_stay_near_float(transformer: LiteModel, token_calibration: Calibration) -> None:
    for label, plan in uniform(transformer):
        limit = 0.2 if "s4" in label else 0.04
        assert error(transformer, plan, token_calibration, small_tf.sequences(8)) < limit, label


def test_16_bit_activations_are_nearer_than_8_bit(
    cnn: LiteModel, calibration: Calibration, pictures: np.ndarray
) -> None:
    errors = {label: error(cnn, plan, calibration, pictures) for label, plan in uniform(cnn)}
    assert errors["static s16s8 per_channel minmax sym"] < errors["static s8s8 per_channel minmax"]


def test_weights_in_4_bits_make_the_smallest_file() -> None:
    model = load(ModelSource(micro_model("FULLY_CONNECTED")))
    sizes = {label: len(build(model, plan, None)) for label, plan in uniform(model) if "static" not in label}
    assert sizes["weight_only s4 per_channel"] < 0.6 * sizes["weight_only s8 per_channel"]
    assert sizes["weight_only s8 per_channel"] < 0.6 * sizes["fp16"]


def test_the_empty_plan_is_the_file_itself(cnn: LiteModel) -> None:
    assert build(cnn, FP32_PLAN, None) == cnn.content


def test_building_twice_gives_equal_bytes(cnn: LiteModel, calibration: Calibration) -> None:
    plan = Space.of(capability_table(cnn, {})).full_plan()
    assert build(cnn, plan, calibration) == build(cnn, plan, calibration)


def test_a_quantized_region_has_no_conversions_inside(cnn: LiteModel, calibration: Calibration) -> None:
    plan = Space.of(capability_table(cnn, {})).full_plan()
    types = [node.type for node in graph_of(parse(build(cnn, plan, calibration))).nodes]
    assert types.count("QUANTIZE") == types.count("DEQUANTIZE") == 1
    assert (types[0], types[-1]) == ("QUANTIZE", "DEQUANTIZE")


def test_inputs_and_outputs_stay_float(cnn: LiteModel, calibration: Calibration) -> None:
    plan = Space.of(capability_table(cnn, {})).full_plan()
    graph = graph_of(parse(build(cnn, plan, calibration)))
    assert {graph.tensors[i].type for i in (*graph.inputs, *graph.outputs)} == {"float32"}


def test_an_output_that_a_quantized_op_reads_stays_float() -> None:
    layers = small_tf.keras.layers
    image = small_tf.keras.Input(small_tf.PICTURE, name="image")
    features = layers.UpSampling2D(2, name="features")(layers.Conv2D(4, 3, activation="sigmoid")(image))
    mask = layers.Conv2D(1, 1, name="mask")(features)
    model = load(ModelSource(small_tf.keras.Model(image, {"features": features, "mask": mask})))
    x = small_tf.pictures(4)
    found = collect(model, [Batch(x, None, 4)], Needs(observable(model, model.ops_by_id)))
    want = candidate(model, FP32_PLAN, None).predict(x)
    full = Space.of(capability_table(model, {})).full_plan()
    for plan in (full, *(Plan({op: full[op]}) for op in full)):
        built = candidate(model, plan, found)
        for name, array in built.predict(x).items():
            assert array.dtype == np.float32
            assert np.linalg.norm(array - want[name]) < 0.05 * np.linalg.norm(want[name])
        runner = built.native.get_signature_runner("serving_default")
        assert {d["dtype"] for d in runner.get_output_details().values()} == {np.float32}


def test_moving_ops_hand_8_bits_on(transformer: LiteModel, token_calibration: Calibration) -> None:
    plan = Space.of(capability_table(transformer, {})).full_plan()
    graph = graph_of(parse(build(transformer, plan, token_calibration)))
    moving = [graph.tensors[node.outputs[0]].type for node in graph.nodes if node.type in MOVES]
    assert "int8" in moving


def test_one_op_alone_quantizes_nothing_else(cnn: LiteModel, calibration: Calibration) -> None:
    op = cnn.ops[2]
    plan = Plan({op.id: capability_table(cnn, {})[op.id].precisions[0]})
    graph = graph_of(parse(build(cnn, plan, calibration)))
    integers = {node.name for node in graph.nodes if graph.tensors[node.outputs[0]].type == "int8"}
    assert {name for name in integers if not name.endswith("_quantized")} == {op.id}


def test_neighbours_in_8_and_16_bits_get_along(cnn: LiteModel, calibration: Calibration, pictures: np.ndarray) -> None:
    table = capability_table(cnn, {})
    precisions = {}
    for number, row in enumerate(table):
        wanted = DType.INT16 if number % 2 else DType.INT8
        precisions[row.op.id] = next(p for p in row.precisions if p.activation and p.activation.dtype is wanted)
    assert candidate(cnn, Plan(precisions), calibration).realized == Plan(precisions)
    assert error(cnn, Plan(precisions), calibration, pictures) < 0.03


def test_a_float_op_of_the_file_is_not_realized(cnn: LiteModel, calibration: Calibration) -> None:
    plan = Space.of(capability_table(cnn, {})).full_plan()
    dropped = cnn.ops[3].id
    smaller = Plan({op: precision for op, precision in plan.precisions.items() if op != dropped})
    found = realized_plan(cnn, plan, build(cnn, smaller, calibration))
    assert set(plan) - set(found) == {dropped}


def test_the_first_op_with_a_weight_decides_the_range_of_what_it_reads(
    cnn: LiteModel, calibration: Calibration
) -> None:
    first, second = (op for op in cnn.ops if op.type == "CONV_2D" and op.id in (cnn.ops[0].id, cnn.ops[1].id))
    offered = capability_table(cnn, {})[first.id].precisions
    by_observer = {
        p.activation.observer: p
        for p in offered
        if p.mode is Mode.STATIC
        and p.activation
        and p.weight
        and p.weight.granularity is Granularity.PER_CHANNEL
        and p.activation.dtype is DType.INT8
        and p.weight.dtype is DType.INT8
    }
    plan = Plan({first.id: by_observer[Observer.MINMAX], second.id: by_observer[Observer.KL]})
    graph = graph_of(parse(build(cnn, plan, calibration)))
    alone = graph_of(parse(build(cnn, Plan({second.id: by_observer[Observer.KL]}), calibration)))
    assert graph.tensors[graph.index_of[first.id]].scales == pytest.approx(
        alone.tensors[alone.index_of[f"{first.id}_quantized"]].scales
    )


def test_a_model_without_signature_can_be_quantized() -> None:
    model = load(ModelSource(micro_model("CONV_2D")))
    x = np.random.default_rng(0).standard_normal((1, 28, 28, 64)).astype(np.float32)
    found = collect(model, [Batch(x, None, 1)], Needs(observable(model, model.ops_by_id)))
    plan = Space.of(capability_table(model, {})).full_plan()
    assert set(candidate(model, plan, found).realized) == {PROBED}


def test_an_unknown_op_is_told(cnn: LiteModel, calibration: Calibration) -> None:
    precision = capability_table(cnn, {})[cnn.ops[0].id].precisions[0]
    with pytest.raises(TrialError, match="does not have"):
        build(cnn, Plan({"no/such": precision}), calibration)


def test_static_ops_need_calibration(cnn: LiteModel) -> None:
    with pytest.raises(TrialError, match="needs calibration data"):
        build(cnn, Space.of(capability_table(cnn, {})).full_plan(), None)


def test_missing_statistics_name_the_tensor(cnn: LiteModel, calibration: Calibration) -> None:
    few = Calibration({}, calibration.samples, "few")
    with pytest.raises(TrialError, match=re.escape("no statistics of this tensor")) as raised:
        build(cnn, Space.of(capability_table(cnn, {})).full_plan(), few)
    assert raised.value.where in cnn.graph.index_of
