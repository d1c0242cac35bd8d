"""Plans of TensorFlow models as .tflite files: which op is which there, and what is quantized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_tf

from autoq.adaptors.tensorflow.export import carry, export_tflite
from autoq.adaptors.tensorflow.fusion import find_ops
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.passes import fold
from autoq.adaptors.tensorflow_lite.convert import convert_frozen
from autoq.adaptors.tensorflow_lite.graph import graph_of, parse
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.adaptors.tensorflow_lite.saving import load_artifact
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.agreement import worst
from autoq.core.batch import Batch
from autoq.core.errors import TrialError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, TensorQuant

ONE = RunOptions(1)
CASES = {
    "cnn": (small_tf.small_cnn, small_tf.pictures),
    "resnet": (small_tf.small_resnet, small_tf.pictures),
    "transformer": (small_tf.small_transformer, small_tf.sequences),
}


def model_of(network) -> TensorFlowModel:
    frozen = small_tf.freeze(network)
    return TensorFlowModel(frozen, find_ops(fold(frozen)), "fingerprint", frozen.proto.ByteSize())


def static(weighted: bool, observer: Observer = Observer.MINMAX, spread: Granularity = Granularity.PER_CHANNEL):
    weight = TensorQuant(DType.INT8, granularity=spread) if weighted else None
    return OpPrecision(Mode.STATIC, weight, TensorQuant(DType.UINT8, observer=observer))


def whole(model: TensorFlowModel, **settings) -> Plan:
    return Plan({op.id: static(op.weight is not None, **settings) for op in model.fusion.ops})


class Case:
    """A small network, quantized all over, and its files."""

    def __init__(self, name, folder):
        network, data = CASES[name]
        self.model, self.inputs = model_of(network()), data(32)
        self.folder = folder
        self.plan = whole(self.model)

    def batches(self):
        return [Batch({self.model.inputs[0].name: self.inputs}, None, len(self.inputs))]

    def export(self, plan, name="model"):
        return export_tflite(self.model, plan, self.batches, self.folder / f"{name}.tflite")

    def run(self, exported):
        return load_artifact(exported.file, ONE).predict({self.model.inputs[0].name: self.inputs})

    def graph(self, exported):
        return graph_of(parse(exported.file.read_bytes()))


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def cnn(tmp_path_factory):
    return Case("cnn", tmp_path_factory.mktemp("cnn"))


def test_every_op_of_the_plan_is_found_and_quantized(case):
    exported = case.export(case.plan)
    assert exported.quantized == frozenset(case.plan)
    assert exported.notes == ()


def test_the_float_file_computes_what_the_float_graph_does(case):
    frozen = case.model.frozen
    (want,) = small_tf.run(frozen.proto, {frozen.input_tensors[0]: case.inputs}, frozen.output_tensors)
    found = case.run(case.export(FP32_PLAN, "float"))
    assert list(found) == [spec.name for spec in frozen.outputs]
    np.testing.assert_allclose(next(iter(found.values())), want, rtol=1e-4, atol=1e-4)


def test_the_quantized_file_stays_near_the_float_one(case):
    assert worst(case.run(case.export(FP32_PLAN, "float")), case.run(case.export(case.plan))) > 30


def test_ops_left_in_float_stay_float(cnn):
    kept = {op: p for op, p in cnn.plan.precisions.items() if not op.startswith(("project", "scores"))}
    exported = cnn.export(Plan(kept), "partial")
    assert exported.quantized == frozenset(kept)
    graph = cnn.graph(exported)
    assert graph.tensors[graph.by_name["scores"].weight].type == "float32"


def test_a_residual_sum_is_part_of_its_op(cnn):
    exported = cnn.export(cnn.plan)
    (sum_op,) = (o for o in exported.ops if o.tensor.endswith("residual/Add"))
    assert sum_op.node != sum_op.tensor
    graph = cnn.graph(exported)
    assert graph.tensors[graph.index_of[sum_op.tensor]].type == "int8"


@pytest.mark.parametrize(("spread", "several"), [(Granularity.PER_CHANNEL, True), (Granularity.PER_TENSOR, False)])
def test_weights_are_spread_as_in_the_plan(cnn, spread, several):
    graph = cnn.graph(cnn.export(whole(cnn.model, spread=spread), str(spread)))
    stem = graph.tensors[graph.nodes[next(n.index for n in graph.nodes if n.type == "CONV_2D")].weight]
    assert (len(stem.scales) > 1) == several


def test_the_observer_of_the_plan_decides_the_range(cnn):
    def scales(observer):
        graph = cnn.graph(cnn.export(whole(cnn.model, observer=observer), str(observer)))
        return {t.name: t.scales[0] for t in graph.tensors if t.type == "int8" and not t.constant}

    wide, narrow = scales(Observer.MINMAX), scales(Observer.MSE)
    assert all(narrow[name] <= wide[name] for name in wide)
    assert any(narrow[name] < 0.98 * wide[name] for name in wide)


def test_an_op_without_a_counterpart_is_a_note(cnn):
    first = cnn.model.fusion.ops[0]
    renamed = replace(first, id="elsewhere", members=("elsewhere",))
    model = replace(cnn.model, fusion=replace(cnn.model.fusion, ops=[renamed, *cnn.model.fusion.ops[1:]]), memo={})
    exported = export_tflite(model, whole(model), cnn.batches, cnn.folder / "lost.tflite")
    assert "elsewhere" not in exported.quantized
    assert exported.notes == (
        "1 of 8 quantized ops (elsewhere) stay float in LiteRT: the converter left no op of their own there",
    )


def test_calibration_samples_are_read_once(cnn):
    count = []
    model = replace(cnn.model, memo={})

    def batches():
        count.append(1)
        return cnn.batches()

    for name in ("one", "two"):
        export_tflite(model, whole(model), batches, cnn.folder / f"{name}.tflite")
    assert len(count) == 1


def test_carrying_a_float_plan_quantizes_nothing(cnn):
    cnn.export(FP32_PLAN)
    assert not carry(cnn.model, cnn.model.memo["litert"], FP32_PLAN).plan


def test_a_plan_without_samples_is_a_failed_trial(cnn):
    model = replace(cnn.model, memo={})
    with pytest.raises(TrialError):
        export_tflite(model, whole(model), lambda: [], cnn.folder / "empty.tflite")


def test_ops_are_found_where_the_converter_numbers_their_names():
    layers = small_tf.keras.layers
    small_tf.keras.utils.set_random_seed(0)
    image = small_tf.keras.Input(small_tf.PICTURE, name="image")
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, name="linear")(image))
    model = model_of(small_tf.keras.Model(image, layers.Conv2D(3, 1, name="scores")(x)))
    lite = load(ModelSource(convert_frozen(model.frozen)))
    assert "linear/convolution" not in lite.ops_by_id
    found = carry(model, lite, whole(model))
    assert not found.lost
    assert [op.id for op in found.ops["linear/convolution"]] == ["linear/convolution1"]
