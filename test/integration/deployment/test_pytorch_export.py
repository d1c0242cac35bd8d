"""PyTorch plans as ONNX files: ONNX Runtime and OpenVINO compute what the tuned model computes."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
import small_torch

from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.agreement import worst
from autoq.core.deployment import RUNTIMES, Deploying, Exporting, ExportSettings
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode
from autoq.core.profile import PROFILES
from autoq.core.registry import make_adaptor
from autoq.tuning.deployment.agreement import limit_of

ONE = RunOptions(1)
CASES = [
    ("pytorch_eager", "small_cnn"),
    ("pytorch_eager", "small_unet"),
    ("pytorch_fx", "small_cnn"),
    ("pytorch_pt2e", "small_cnn"),
    ("pytorch_pt2e", "small_transformer"),
]


class Case:
    """A small model, quantized all over, and its file."""

    def __init__(self, framework, name, folder):
        self.name = name
        self.adaptor = make_adaptor(framework)
        assert isinstance(self.adaptor, Exporting)
        source = ModelSource(small_torch.FACTORIES[name](), example=lambda: small_torch.inputs_for(name))
        self.model = self.adaptor.load(source)
        table = self.adaptor.capabilities(self.model)
        needs = self.adaptor.needs(self.model, table)
        self.calibration = self.adaptor.calibrate(self.model, iter(small_torch.batches_for(name)), needs)
        first = {r.op.id: next((p for p in r.precisions if p.mode is Mode.STATIC), None) for r in table}
        self.plan = Plan({op: p for op, p in first.items() if p is not None})
        self.file = folder / f"{framework}_{name}.onnx"
        self.exported = self.adaptor.export_onnx(
            self.model, self.plan, self.calibration, self.file, ExportSettings(profile="openvino")
        )
        self.inputs = small_torch.inputs_for(name, samples=3, seed=9)
        self.outputs = self.of_plan(self.plan)

    def of_plan(self, plan):
        return self.adaptor.apply(self.model, plan, self.calibration, ONE).predict(self.inputs)

    @functools.cached_property
    def noise(self):
        return worst(self.of_plan(FP32_PLAN), self.outputs)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request, tmp_path_factory):
    return Case(*request.param, tmp_path_factory.mktemp("exported"))


@pytest.mark.parametrize("runtime", ["onnxrt", "openvino"])
def test_a_runtime_computes_what_the_tuned_model_computes(case, runtime):
    found = make_adaptor(RUNTIMES[runtime]).load_artifact(case.file, ONE).predict(case.inputs)
    assert list(found) == list(case.outputs)
    assert worst(case.outputs, found) > limit_of(case.noise)


def test_openvino_runs_every_quantized_op_in_8_bits(case):
    adaptor = make_adaptor("openvino")
    assert isinstance(adaptor, Deploying)
    nodes = adaptor.coverage(case.file, ONE).nodes
    assert case.exported.quantized
    assert [o.op for o in case.exported.ops if o.quantized and o.node not in nodes] == []


def test_weights_are_stored_in_8_bits_only(case):
    model = onnx.load(case.file)
    onnx.checker.check_model(model, full_check=True)
    producers = {name: node for node in model.graph.node for name in node.output}
    by_name = {node.name: node for node in model.graph.node}
    stored = {t.name: t.data_type for t in model.graph.initializer}
    for op in case.exported.ops:
        if op.quantized and by_name[op.node].op_type in ("Conv", "ConvTranspose", "Gemm"):
            weight = producers[by_name[op.node].input[1]]
            assert weight.op_type == "DequantizeLinear"
            assert stored[weight.input[0]] == onnx.TensorProto.INT8


def test_the_file_names_nothing_of_the_place_it_was_made_in(case):
    assert b".py" not in case.file.read_bytes()


def test_the_exported_arithmetic_is_that_of_the_tuned_model(case):
    names = [*(o.tensor for o in case.exported.ops), *case.outputs]
    found = case.adaptor.exported_tensors(case.model, case.plan, case.calibration, case.exported, names, case.inputs)
    assert worst(case.outputs, {name: found[name] for name in case.outputs}) > 45
    assert {o.tensor for o in case.exported.ops if o.quantized} <= set(found)


def test_a_plan_without_quantized_ops_is_the_float_model(tmp_path):
    adaptor = make_adaptor("pytorch_eager")
    source = ModelSource(small_torch.small_mlp(), example=lambda: small_torch.inputs_for("small_mlp"))
    model = adaptor.load(source)
    exported = adaptor.export_onnx(model, FP32_PLAN, None, tmp_path / "fp32.onnx", ExportSettings())
    inputs = small_torch.inputs_for("small_mlp", samples=5, seed=3)
    wanted = adaptor.apply(model, FP32_PLAN, None, ONE).predict(inputs)
    found = make_adaptor("onnxrt_qdq").load_artifact(exported.file, ONE).predict(inputs)
    assert exported.quantized == frozenset()
    assert np.allclose(wanted["output"], found["output"], atol=1e-5)


def test_a_plan_of_the_tensorrt_profile_keeps_its_rules(tmp_path):
    adaptor = make_adaptor("pytorch_pt2e")
    source = ModelSource(small_torch.small_cnn(), example=lambda: small_torch.inputs_for("small_cnn"))
    model = adaptor.load(source)
    table = adaptor.capabilities(model)
    calibration = adaptor.calibrate(model, iter(small_torch.batches_for("small_cnn")), adaptor.needs(model, table))
    chosen = {row.op.id: row.precisions[0] for row in PROFILES["tensorrt"].restrict(table)}
    plan = Plan(chosen)
    settings = ExportSettings(profile="tensorrt")
    exported = adaptor.export_onnx(model, plan, calibration, tmp_path / "model.onnx", settings)
    assert len(exported.quantized) == len(plan) > 0
    assert exported.rules
    assert exported.broken == ()
