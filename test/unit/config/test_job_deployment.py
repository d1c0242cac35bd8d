"""The job's section deployment."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_onnx

from autoq.config.loader import load_job, parse_job
from autoq.config.rules import profiled, space
from autoq.core.adaptor import ModelSource
from autoq.core.deployment import runtimes_of
from autoq.core.errors import ConfigError
from autoq.core.registry import make_adaptor
from autoq.tuning.assemble import settings_of


@pytest.fixture
def job_of(tmp_path):
    return lambda **changes: load_job(small_onnx.write_job(tmp_path, **changes))


def table_of(job):
    adaptor = make_adaptor(job.model.framework)
    return adaptor.capabilities(adaptor.load(ModelSource(str(job.resolve(job.model.path)))))


def test_a_job_without_the_section_has_no_gate(job_of):
    assert job_of().deployment is None


def test_runtimes_default_to_all_and_one_may_stand_alone(job_of):
    job = job_of(deployment={})
    assert job.deployment.runtimes is None
    assert settings_of(job).deployment.runtimes == ("onnxrt", "openvino")
    assert job_of(deployment__runtimes="openvino").deployment.runtimes == ["openvino"]


def test_an_unknown_runtime_is_told_with_those_there_are(job_of):
    with pytest.raises(ConfigError, match=r"job.yaml:\d+:\d+.*onnxruntime") as raised:
        job_of(deployment__runtimes=["onnxruntime"])
    assert "onnxrt" in str(raised.value.hint) + str(raised.value)


def test_a_runtime_named_twice_is_refused(job_of):
    with pytest.raises(ConfigError, match="onnxrt is named twice"):
        job_of(deployment__runtimes=["onnxrt", "onnxrt"])


def test_an_opset_that_no_exporter_writes_is_refused(job_of):
    with pytest.raises(ConfigError, match=r"deployment\.opset"):
        job_of(deployment__opset=9)


def test_a_profile_needs_ranges_fixed_by_calibration(job_of):
    with pytest.raises(ConfigError, match="profile openvino takes ranges fixed by calibration"):
        job_of(
            model__framework="onnxrt_integerops",
            quantization__approach="post_training_dynamic_quant",
            deployment__profile="openvino",
        )


def test_plans_under_a_profile_hold_only_what_it_takes(job_of):
    job = job_of(deployment__profile="openvino")
    for unit in space(job, table_of(job)).units:
        for precision in unit.precisions:
            weight = precision.weight
            assert precision.is_float or weight is None or weight.granularity == "per_channel"


def test_a_profile_that_the_framework_has_nothing_for_is_told_with_its_place(job_of):
    job = job_of(deployment__profile="tensorrt")
    with pytest.raises(ConfigError, match="has nothing for this model that profile tensorrt takes") as raised:
        profiled(job, table_of(job))
    assert "job.yaml:" in raised.value.where
    assert "static u8s8" in raised.value.hint


@pytest.mark.parametrize(
    ("framework", "path", "runtime", "goes"),
    [
        ("onnxrt_qdq", "model.onnx", "litert", "onnxrt, openvino"),
        ("pytorch_fx", "models:build", "litert", "onnxrt, openvino"),
        ("tensorflow", "saved", "onnxrt", "litert"),
        ("tensorflow_lite", "model.tflite", "openvino", "litert"),
    ],
)
def test_a_runtime_that_does_not_read_what_the_framework_exports_is_told_with_its_place(framework, path, runtime, goes):
    text = f"model: {{framework: {framework}, path: '{path}'}}\ndeployment: {{runtimes: [{runtime}]}}\n"
    with pytest.raises(ConfigError, match=r"j\.yaml:2:25: runtime \w+ reads \w+ models, and framework") as raised:
        parse_job(text, "j.yaml", Path())
    assert f"framework {framework} goes with: {goes}" in str(raised.value)


@pytest.mark.parametrize("framework", ["tensorflow", "tensorflow_lite"])
def test_tensorflow_jobs_are_scored_in_litert_by_default(framework):
    job = parse_job(f"model: {{framework: {framework}, path: saved}}\ndeployment: {{}}\n", "j.yaml", Path())
    assert runtimes_of(job.model.framework) == ("litert",)


@pytest.mark.parametrize("key", ["profile: tensorrt", "opset: 17"])
def test_what_is_for_onnx_files_is_refused_for_litert(key):
    text = f"model: {{framework: tensorflow, path: saved}}\ndeployment: {{{key}}}\n"
    with pytest.raises(ConfigError, match=r"2:14: deployment\.\w+ is for ONNX models"):
        parse_job(text, "j.yaml", Path())


def test_a_framework_that_exports_nothing_is_told_at_the_section():
    with pytest.raises(ConfigError, match=r"2:1: framework toy cannot export its models"):
        parse_job("model: {framework: toy, path: m.json}\ndeployment: {}\n", "j.yaml", Path())
