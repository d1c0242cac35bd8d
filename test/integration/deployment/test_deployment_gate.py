"""The gate on a real job: agreement, disagreement with the op that causes it, runtimes that fail, resuming."""

from __future__ import annotations

import json
from dataclasses import replace

import onnx
import pytest
import small_onnx

from autoq.config.loader import load_job
from autoq.core import deployment
from autoq.core.deployed import Agreement
from autoq.core.registry import ADAPTORS, AdaptorEntry
from autoq.result import Result
from autoq.run import run_job
from autoq.tuning.outcome import SilentListener


def tune(folder, resume=False, **changes) -> Result:
    """Run a job of one trial: every op in 8 bits."""
    path = small_onnx.write_job(
        folder,
        **{
            "runner__kind": "in_process",
            "tuning__strategy": "basic",
            "tuning__exit_policy": {"max_trials": 1},
            "evaluation__performance__iterations": 5,
            "deployment__runtimes": ["onnxrt"],
            **changes,
        },
    )
    return run_job(load_job(path), SilentListener(), resume=resume)


@pytest.fixture
def tuned(tmp_path):
    """Tune with some changes of the job."""
    return lambda **changes: tune(tmp_path, **changes)


@pytest.fixture(scope="module")
def agreed(tmp_path_factory) -> Result:
    """A job whose model both runtimes run as it was tuned."""
    return tune(tmp_path_factory.mktemp("agreed"), deployment__runtimes=["onnxrt", "openvino"])


@pytest.fixture
def runtime(monkeypatch):
    """Let a function of test support stand for ONNX Runtime as the place of deployment."""

    def use(name):
        monkeypatch.setitem(ADAPTORS, "faulty", AdaptorEntry(f"faulty_runtime:{name}", "", "", ()))
        monkeypatch.setitem(deployment.RUNTIMES, "onnxrt", "faulty")

    return use


def test_both_runtimes_agree_with_the_tuned_model(agreed):
    found = agreed.outcome.deployment
    assert [r.agreement for r in found.runtimes] == [Agreement.PASSED] * 2
    assert found.passed
    for result in found.runtimes:
        assert {s.split for s in result.scores} == {"tune", "held_out"}
        assert result.int8_ops == result.quantized_ops == 3
        assert result.latency.ratio.value > 0


def test_the_exported_file_is_standard_and_takes_any_batch(agreed):
    model = onnx.load(agreed.folder / agreed.outcome.deployment.files[0])
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value")


def test_quantized_weights_leave_no_float_copy(agreed):
    model = onnx.load(agreed.folder / agreed.outcome.deployment.files[0])
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert max(len(t.raw_data) // 4 for t in floats) <= 32  # scales


def test_the_first_op_that_a_runtime_computes_otherwise_is_named(tuned, runtime):
    runtime("wrong_scales")
    (found,) = tuned().outcome.deployment.runtimes
    assert found.agreement is Agreement.DISAGREES
    assert found.diverging.op == "conv2"
    assert [op.op for op in found.ops] == ["conv1", "conv2", "fc"]
    assert found.ops[0].sqnr > 40 > found.ops[1].sqnr


def test_a_runtime_that_fails_is_a_note_and_the_job_is_done(tuned, runtime):
    runtime("refusing")
    result = tuned()
    (found,) = result.outcome.deployment.runtimes
    assert found.agreement is Agreement.FAILED
    assert "this runtime loads nothing" in found.failure
    assert (result.folder / "model" / "model.onnx").is_file()


def test_a_runtime_that_is_not_installed_is_told_with_the_command(tuned, monkeypatch):
    monkeypatch.setitem(ADAPTORS, "absent", AdaptorEntry("no_such_package_of_ours:x", "openvino", "", ()))
    monkeypatch.setitem(deployment.RUNTIMES, "openvino", "absent")
    (found,) = tuned(deployment__runtimes=["openvino"]).outcome.deployment.runtimes
    assert found.agreement is Agreement.FAILED
    assert "pip install 'autoq[openvino]'" in found.failure


def test_a_resumed_job_does_not_score_again(tuned, runtime):
    first = tuned().outcome.deployment
    runtime("refusing")
    assert tuned(resume=True).outcome.deployment == first


def test_dynamic_plans_are_exported_in_float_and_it_is_said(tuned):
    found = tuned(
        model__framework="onnxrt_integerops", quantization__approach="post_training_dynamic_quant"
    ).outcome.deployment
    assert "dynamic ops are exported in float" in found.notes[0]
    assert found.runtimes[0].quantized_ops == 0


def test_a_report_shows_the_gate_and_reads_it_back(agreed):
    from autoq.report.html import read_report

    assert "ONNX Runtime and OpenVINO agree with the tuned model within 0.002" in agreed.report().read_text()
    assert read_report(agreed.folder / "report.json").deployment == agreed.outcome.deployment
    assert json.loads((agreed.folder / "report.json").read_text())["deployment"]["passed"] is True


def test_a_saved_result_holds_the_exported_files(agreed, tmp_path):
    target = agreed.save(tmp_path / "out")
    assert {f.name for f in (target / "deployment").iterdir()} == {"quantized.onnx", "fp32.onnx"}


def test_the_gate_works_in_a_child_process(tuned):
    found = tuned(runner__kind="subprocess").outcome.deployment
    assert found.runtimes[0].agreement is Agreement.PASSED


def test_an_adaptor_that_does_not_export_what_the_registry_says_is_told(tuned, monkeypatch):
    monkeypatch.setitem(ADAPTORS, "onnxrt_qdq", replace(ADAPTORS["onnxrt_qdq"], exports=("tflite",)))
    found = tuned(deployment__runtimes=["litert"]).outcome.deployment
    assert "framework onnxrt_qdq cannot export its models as LiteRT" in found.failure
    assert not found.passed


def test_a_runtime_whose_format_cannot_be_written_leaves_the_others_alone(tuned, monkeypatch):
    monkeypatch.setitem(ADAPTORS, "onnxrt_qdq", replace(ADAPTORS["onnxrt_qdq"], exports=("onnx", "tflite")))
    found = tuned(deployment__runtimes=["litert", "onnxrt"]).outcome.deployment
    assert [r.agreement for r in found.runtimes] == [Agreement.FAILED, Agreement.PASSED]
    assert found.files == ("deployment/quantized.onnx",)
