"""Candidates: prediction and its errors, saving and loading, profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor
from autoq.core.adaptor import RunOptions
from autoq.core.errors import DataError, ModelError, StoreError, TrialError, UnsupportedError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import FP32


@pytest.fixture
def tested(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> Any:
    return bench(qdq, cnn)


def test_fp32_is_the_model_as_it_was_given(tested: Any, cnn: Any) -> None:
    plain = ort.InferenceSession(cnn.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = dict(tested.feeds[0])
    candidate = tested.apply(FP32_PLAN)
    np.testing.assert_array_equal(candidate.predict(feed)["fc:0"], plain.run(None, feed)[0])
    assert candidate.realized == FP32_PLAN


def test_inputs_may_be_an_array_a_list_or_a_mapping(tested: Any) -> None:
    candidate, image = tested.apply(FP32_PLAN), tested.feeds[0]["image"]
    expected = candidate.predict({"image": image})["fc:0"]
    np.testing.assert_array_equal(candidate.predict(image)["fc:0"], expected)
    np.testing.assert_array_equal(candidate.predict([image])["fc:0"], expected)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"picture": np.zeros((1, 3, 16, 16), np.float32)}, "does not take an input 'picture'"),
        ({}, "needs an input 'image'"),
        ([np.zeros((1, 3, 16, 16), np.float32)] * 2, "takes 1 inputs, and the batch has 2"),
        (np.zeros((1, 3, 16, 16), np.float64), "takes float32"),
        (np.zeros((1, 3, 8, 16), np.float32), r"not float32 \(1, 3, 8, 16\)"),
    ],
)
def test_wrong_inputs_are_data_errors(tested: Any, inputs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tested.apply(FP32_PLAN).predict(inputs)


def test_a_failure_inside_of_the_model_is_a_trial_error(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    product = g.node("MatMul", [g.input("x", ["n", "m"]), g.weight("w", 4, 4)], "product")
    shape = g.constant("shape", np.array([2, 2, 4]))
    proto = g.finish(g.node("Reshape", [product, shape], "reshape"))
    tested = bench(qdq, proto, [{"x": np.ones((4, 4), np.float32)}])
    with pytest.raises(TrialError, match="ONNX Runtime failed"):
        tested.apply(FP32_PLAN).predict({"x": np.ones((3, 4), np.float32)})


def test_native_is_the_session_with_the_threads_asked_for(tested: Any) -> None:
    session = tested.apply(FP32_PLAN).native
    assert isinstance(session, ort.InferenceSession)
    assert session.get_session_options().intra_op_num_threads == 1


def test_a_closed_candidate_says_so(tested: Any) -> None:
    candidate = tested.apply(tested.full_plan())
    candidate.close()
    with pytest.raises(TrialError, match="closed"):
        candidate.predict(tested.feeds[0])


def test_nothing_is_left_on_disk(tested: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    read, unread = tested.apply(tested.full_plan()), tested.apply(tested.full_plan())
    assert read.realized == tested.full_plan()
    unread.close()
    assert list(tmp_path.iterdir()) == []


def test_a_model_the_runtime_refuses_is_a_trial_error(tested: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : no kernel for QLinearConv")

    monkeypatch.setattr("autoq.adaptors.onnxrt.candidate.make_session", refuse)
    with pytest.raises(TrialError, match=r"cannot load the model this plan makes: no kernel for QLinearConv"):
        tested.apply(tested.full_plan())


def test_an_op_that_runs_float_is_not_called_realized(tested: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoq.adaptors.onnxrt.realized import realized_plan

    plan = tested.full_plan()
    optimized = tested.proto(plan)
    for node in list(optimized.graph.node):
        if node.name == "head":
            node.op_type = "Conv"
    for node in optimized.graph.node:
        if node.op_type in ("Conv", "Gemm", "Add", "GlobalAveragePool") and node.name != "head":
            node.op_type = f"QLinear{node.op_type}"
    realized = realized_plan(plan, tested.model.fusion, optimized)
    assert realized == plan.with_precisions({"head": FP32})


@pytest.mark.parametrize("which", ["int8", "fp32"])
def test_a_saved_model_gives_the_same_outputs(tested: Any, tmp_path: Path, which: str) -> None:
    plan = tested.full_plan() if which == "int8" else FP32_PLAN
    candidate = tested.apply(plan)
    artifact = tested.adaptor.save(candidate, tmp_path)
    loaded = tested.adaptor.load_artifact(tmp_path, RunOptions(1))
    for feed in tested.feeds:
        np.testing.assert_array_equal(candidate.predict(feed)["fc:0"], loaded.predict(feed)["fc:0"])
    assert loaded.realized == plan
    assert set(artifact.files) == {"model.onnx", "autoq.json"}
    assert (tmp_path / "model.onnx").stat().st_size == candidate.size_bytes == loaded.size_bytes


def test_a_saved_model_needs_nothing_of_autoq(
    static_adaptor: OnnxAdaptor, cnn: Any, bench: Any, tmp_path: Path
) -> None:
    tested = bench(static_adaptor, cnn)
    tested.adaptor.save(tested.apply(tested.full_plan()), tmp_path)
    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, dict(tested.feeds[0]))[0].shape == (2, 10)


def test_a_saved_model_is_described(tested: Any, tmp_path: Path) -> None:
    tested.adaptor.save(tested.apply(tested.full_plan()), tmp_path)
    description = json.loads((tmp_path / "autoq.json").read_text(encoding="utf-8"))
    assert description["framework"] == "onnxrt_qdq"
    assert Plan.from_json(description["plan"]) == tested.full_plan()


def test_a_users_own_model_file_can_be_loaded(qdq: OnnxAdaptor, saved_cnn: Path) -> None:
    loaded = qdq.load_artifact(saved_cnn, RunOptions(1))
    assert loaded.realized == FP32_PLAN
    assert loaded.predict(np.zeros((1, 3, 16, 16), np.float32))["fc:0"].shape == (1, 10)


def test_a_damaged_description_is_named(tested: Any, tmp_path: Path) -> None:
    tested.adaptor.save(tested.apply(FP32_PLAN), tmp_path)
    (tmp_path / "autoq.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"autoq\.json: the description of the saved model cannot be read"):
        tested.adaptor.load_artifact(tmp_path, RunOptions(1))


def test_a_folder_that_cannot_be_written_is_a_store_error(tested: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        tested.adaptor.save(tested.apply(FP32_PLAN), tmp_path / "missing")


@pytest.mark.parametrize("which", ["int8", "fp32"])
def test_a_profile_covers_the_ops(tested: Any, which: str) -> None:
    candidate = tested.apply(tested.full_plan() if which == "int8" else FP32_PLAN)
    costs = tested.adaptor.profile(candidate, tested.feeds[0])
    assert {"stem", "depthwise", "project", "head", "fc"} <= set(costs.seconds)
    assert all(seconds > 0 for seconds in costs.seconds.values())
    assert costs.overhead > 0


def test_a_model_that_was_only_loaded_has_no_ops_to_profile(qdq: OnnxAdaptor, saved_cnn: Path) -> None:
    with pytest.raises(UnsupportedError, match="built from a plan"):
        qdq.profile(qdq.load_artifact(saved_cnn, RunOptions(1)), np.zeros((1, 3, 16, 16), np.float32))
