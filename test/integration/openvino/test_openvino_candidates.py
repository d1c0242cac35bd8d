"""Candidates at the edges: inputs, names, bfloat16, saved files, and the runtime's effects on the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_graphs import Graph, small_cnn

from autoq.adaptors.openvino import adaptor as adaptor_module
from autoq.adaptors.openvino import capabilities as capabilities_module
from autoq.adaptors.openvino.agreement import check_agreement, is_comparable
from autoq.adaptors.openvino.candidate import OpenVinoCandidate
from autoq.adaptors.openvino.realized import BF16
from autoq.adaptors.openvino.runtime import core
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.capability import Recipe
from autoq.core.errors import DataError, ModelError, TrialError, UnsupportedError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.testing.toy import ToyAdaptor

ONE_THREAD = RunOptions(threads=1)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_other_dtypes_are_not_converted_silently(cnn: Any, dtype: type) -> None:
    with pytest.raises(DataError, match="takes float32"):
        cnn.apply(FP32_PLAN).predict(np.zeros((1, 3, 16, 16), dtype))


def test_a_wrong_shape_names_the_input(cnn: Any) -> None:
    with pytest.raises(DataError, match="'image' takes"):
        cnn.apply(FP32_PLAN).predict(np.zeros((1, 3, 16, 17), np.float32))


def test_arrays_in_any_memory_layout_give_the_same_outputs(cnn: Any) -> None:
    candidate, image = cnn.apply(cnn.full_plan()), cnn.feeds[0]["image"]
    strided = np.asfortranarray(image)
    assert np.array_equal(candidate.predict(image)["fc:0"], candidate.predict(strided)["fc:0"])


def test_outputs_do_not_change_when_the_next_batch_runs(cnn: Any) -> None:
    candidate = cnn.apply(cnn.full_plan())
    first = candidate.predict(cnn.feeds[0])["fc:0"]
    before = first.copy()
    candidate.predict(cnn.feeds[1])
    assert np.array_equal(first, before)


def test_inputs_that_nothing_reads_are_taken_all_the_same(bench: Any, tmp_path: Path) -> None:
    g = Graph()
    g.input("unused", ["n", 3])
    ready = bench(g.finish(g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "conv", (4, 4))], "relu")))
    candidate = ready.apply(ready.full_plan())
    ready.adaptor.save(candidate, tmp_path)
    loaded = ready.adaptor.load_artifact(tmp_path, ONE_THREAD)
    feed = {"x": ready.feeds[0]["x"], "unused": np.zeros((2, 3), np.float32)}
    wanted = {spec.name: feed[spec.name] for spec in ready.model.inputs}
    assert np.array_equal(candidate.predict(wanted)["relu:0"], loaded.predict(feed)["relu:0"])


def test_outputs_keep_their_names_and_order(bench: Any) -> None:
    g = Graph()
    y = g.conv(g.input("x", ["n", 4, 8, 8]), "conv", (4, 4))
    names = [g.node("Sigmoid", [y], "z"), g.node("Identity", [y], "same"), g.node("Relu", [y], "a")]
    ready = bench(g.finish(*names))
    assert list(ready.apply(ready.full_plan()).predict(ready.feeds[0])) == names


def test_a_closed_candidate_says_so(cnn: Any) -> None:
    candidate = cnn.apply(FP32_PLAN)
    candidate.close()
    with pytest.raises(TrialError, match="closed"):
        candidate.predict(cnn.feeds[0])


def test_external_weights_are_found(tmp_path: Path, bench: Any) -> None:
    onnx.save(small_cnn(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    inside, beside = bench(small_cnn()), bench(str(tmp_path / "m.onnx"))
    plan = inside.full_plan()
    found = [ready.apply(plan).predict(inside.feeds[0])["fc:0"] for ready in (inside, beside)]
    assert np.array_equal(*found)


def test_a_part_of_a_model_with_external_weights_runs(tmp_path: Path) -> None:
    onnx.save(small_cnn(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    adaptor = adaptor_module.OpenVinoAdaptor()
    model = adaptor.load(ModelSource(tmp_path / "m.onnx", outputs=("residual:0",)))
    found = adaptor.apply(model, FP32_PLAN, None, ONE_THREAD).predict(np.ones((1, 3, 16, 16), np.float32))
    assert found["residual:0"].shape == (1, 8, 16, 16)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "w.bin"]


# -- bfloat16 --------------------------------------------------------------------------------------------------------


def test_bf16_is_a_trial_error_where_the_processor_has_none(cnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptor_module, "has_bf16", lambda: False)
    with pytest.raises(TrialError, match="bfloat16"):
        cnn.apply(Plan(recipes=(BF16,)))


def test_bf16_is_offered_where_the_processor_has_it(cnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities_module, "has_bf16", lambda: True)
    table = cnn.adaptor.capabilities(cnn.model)
    assert table.float_recipes == ((BF16,),)
    assert table.recipes == (BF16,)


def test_a_bf16_plan_is_compiled_for_bf16_and_tells_what_ran(cnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptor_module, "has_bf16", lambda: True)
    candidate = cnn.apply(Plan(recipes=(BF16,)))
    ran = any(node.precision == "bf16" for node in candidate.executed)
    assert candidate.native.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "bf16"
    assert candidate.realized.recipes == ((BF16,) if ran else ())


def test_other_recipes_are_trial_errors(cnn: Any) -> None:
    with pytest.raises(TrialError, match="compile"):
        cnn.apply(Plan(recipes=(Recipe("compile"),)))


# -- saved models ----------------------------------------------------------------------------------------------------


def test_the_saved_folder_tells_scales_and_precisions(cnn: Any, tmp_path: Path) -> None:
    cnn.adaptor.save(cnn.apply(cnn.full_plan()), tmp_path)
    record = json.loads((tmp_path / "tuning.json").read_text())["ops"]["depthwise"]
    assert record["inputs"]["relu:0"]["zero_point"] == 0
    assert record["inputs"]["relu:0"]["scale"] > 0
    assert len(record["weight_scales"]) == 8
    assert record["precision"]["mode"] == "static"


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_either_saved_format_gives_the_same_outputs(cnn: Any, tmp_path: Path, name: str) -> None:
    candidate = cnn.apply(cnn.full_plan())
    cnn.adaptor.save(candidate, tmp_path)
    loaded = cnn.adaptor.load_artifact(tmp_path / name, ONE_THREAD)
    assert np.array_equal(loaded.predict(cnn.feeds[0])["fc:0"], candidate.predict(cnn.feeds[0])["fc:0"])


def test_plain_openvino_runs_the_saved_model(cnn: Any, tmp_path: Path) -> None:
    candidate = cnn.apply(cnn.full_plan())
    cnn.adaptor.save(candidate, tmp_path)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core().compile_model(tmp_path / "model.xml", "CPU", settings)
    assert np.array_equal(compiled(dict(cnn.feeds[0]))["fc:0"], candidate.predict(cnn.feeds[0])["fc:0"])


def test_a_loaded_model_can_be_saved_again(cnn: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    cnn.adaptor.save(cnn.apply(cnn.full_plan()), first)
    cnn.adaptor.save(cnn.adaptor.load_artifact(first / "model.xml", ONE_THREAD), second)
    loaded = cnn.adaptor.load_artifact(second, ONE_THREAD)
    assert np.array_equal(
        loaded.predict(cnn.feeds[0])["fc:0"], cnn.apply(cnn.full_plan()).predict(cnn.feeds[0])["fc:0"]
    )


@pytest.mark.parametrize("axis", [-1, "?", "", "n", None])
def test_axes_of_any_size_are_understood_in_all_spellings(bench: Any, tmp_path: Path, axis: int | str | None) -> None:
    g = Graph()
    x = g.input("x", [axis, 4, axis, 8])
    feed = {"x": np.ones((2, 4, 6, 8), np.float32)}
    ready = bench(g.finish(g.node("Relu", [g.conv(x, "conv", (4, 4))], "relu")), [feed])
    ready.adaptor.save(ready.apply(ready.full_plan()), tmp_path)
    for name in ("model.onnx", "model.xml"):
        loaded = ready.adaptor.load_artifact(tmp_path / name, ONE_THREAD)
        assert loaded.predict(feed)["relu:0"].shape == (2, 4, 6, 8)


def test_a_foreign_quantized_file_tells_what_runs_in_8_bits(cnn: Any, tmp_path: Path) -> None:
    onnx.save(cnn.proto(cnn.full_plan()), tmp_path / "exported.onnx")
    loaded = cnn.adaptor.load_artifact(tmp_path / "exported.onnx", ONE_THREAD)
    assert isinstance(loaded, OpenVinoCandidate)
    assert loaded.int8_nodes >= 5


@pytest.mark.parametrize("content", ["<net></net>", "", "no xml"])
def test_a_damaged_xml_is_a_model_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.xml").write_text(content)
    with pytest.raises(ModelError):
        adaptor_module.OpenVinoAdaptor().load_artifact(tmp_path, ONE_THREAD)


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        adaptor_module.OpenVinoAdaptor().load_artifact(tmp_path / "gone.onnx", ONE_THREAD)


def test_a_folder_with_two_models_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    (tmp_path / "b.xml").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"a\.onnx, b\.xml"):
        adaptor_module.OpenVinoAdaptor().load_artifact(tmp_path, ONE_THREAD)


def test_candidates_of_other_adaptors_are_refused(cnn: Any) -> None:
    toy = type("Other", (), {})()
    with pytest.raises(UnsupportedError, match="Other"):
        cnn.adaptor.save(toy, Path())
    assert ToyAdaptor is not type(cnn.adaptor)


# -- agreement with ONNX Runtime -------------------------------------------------------------------------------------


def test_a_model_that_openvino_computes_wrongly_is_refused(cnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = OpenVinoCandidate.predict
    monkeypatch.setattr(
        OpenVinoCandidate, "predict", lambda self, inputs: {k: v + 9 for k, v in right(self, inputs).items()}
    )
    with pytest.raises(ModelError, match="something else than ONNX Runtime for output 'fc:0'"):
        check_agreement(cnn.model, cnn.feeds[0])


def test_models_whose_outputs_jump_are_not_compared(bench: Any) -> None:
    g = Graph()
    y = g.node("Relu", [g.conv(g.input("x", ["n", 4, 8, 8]), "conv", (4, 4))], "relu")
    ready = bench(g.finish(y, g.node("TopK", [y, g.constant("k", np.array([2]))], "top", outputs=2)))
    assert not is_comparable(ready.model)


# -- the process -----------------------------------------------------------------------------------------------------

_IN_CHILD = """
import os, socket, sys
def refuse(*arguments, **named):
    raise SystemExit("a connection was opened")
socket.socket.connect = refuse
before = os.sched_getaffinity(0)
from pathlib import Path
import numpy as np
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.plan import FP32_PLAN
from autoq.core.registry import make_adaptor
adaptor = make_adaptor("openvino")
model = adaptor.load(ModelSource(Path(sys.argv[1])))
adaptor.apply(model, FP32_PLAN, None, RunOptions(1)).predict(np.zeros((1, 3, 16, 16), np.float32))
assert "openvino_telemetry" not in sys.modules
assert before == os.sched_getaffinity(0)
assert "intel" not in os.listdir(os.environ["HOME"])
"""


def test_the_runtime_is_silent_sends_nothing_and_leaves_the_process_alone(tmp_path: Path) -> None:
    onnx.save(small_cnn(), tmp_path / "cnn.onnx")
    home = tmp_path / "home"
    home.mkdir()
    child = subprocess.run(
        [sys.executable, "-c", _IN_CHILD, str(tmp_path / "cnn.onnx")],
        env={**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


def test_a_runtime_failure_is_a_trial_error(cnn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223:\nno memory left")

    candidate = cnn.apply(FP32_PLAN)
    monkeypatch.setattr(candidate, "_request", type("Request", (), {"infer": fail}))
    with pytest.raises(TrialError, match=r"^OpenVINO failed: no memory left$"):
        candidate.predict(cnn.feeds[0])


def test_a_node_openvino_does_not_have_is_reported_without_source_positions(tmp_path: Path) -> None:
    node = helper.make_node("NoSuchOp", ["x"], ["y"], domain="com.example")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "odd.onnx")
    with pytest.raises(ModelError) as caught:
        adaptor_module.OpenVinoAdaptor().load_artifact(tmp_path / "odd.onnx", ONE_THREAD)
    assert "NoSuchOp" in caught.value.message
    assert ".cpp" not in caught.value.message
