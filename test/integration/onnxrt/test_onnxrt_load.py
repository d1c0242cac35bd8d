"""Loading: what is read, what is refused, and how it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt import model as model_module
from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError


def load(adaptor: OnnxAdaptor, source: Any, **options: Any) -> Any:
    return adaptor.load(ModelSource(source, **options))


def with_external_data(proto: ModelProto, folder: Path) -> Path:
    path = folder / "outside.onnx"
    copy = ModelProto.FromString(proto.SerializeToString())
    onnx.save(copy, path, save_as_external_data=True, location="outside.data", size_threshold=0)
    return path


def test_a_path_and_a_proto_of_the_same_model_give_the_same_table(qdq: OnnxAdaptor, cnn: Any, saved_cnn: Path) -> None:
    by_path, by_proto = load(qdq, saved_cnn), load(qdq, cnn)
    assert qdq.capabilities(by_path) == qdq.capabilities(by_proto)


def test_a_folder_with_one_model_stands_for_it(qdq: OnnxAdaptor, saved_cnn: Path) -> None:
    assert load(qdq, saved_cnn.parent).fingerprint == load(qdq, saved_cnn).fingerprint


def test_inputs_and_outputs_are_described(qdq: OnnxAdaptor, cnn: Any) -> None:
    model = load(qdq, cnn)
    (image,), (logits,) = model.inputs, model.outputs
    assert (image.name, image.dtype, image.shape) == ("image", "float32", ("batch", 3, 16, 16))
    assert logits.name == "fc:0"


def test_a_question_mark_names_no_axis(qdq: OnnxAdaptor, new_graph: Any) -> None:
    g = new_graph()
    model = load(qdq, g.finish(g.conv(g.input("x", ["n", 3, "?", "?"]), "conv", (3, 4))))
    assert model.inputs[0].shape == ("n", 3, None, None)


def test_the_fingerprint_follows_the_weights(qdq: OnnxAdaptor, cnn: Any) -> None:
    before = load(qdq, cnn).fingerprint
    weights = next(t for t in cnn.graph.initializer if t.name == "fc.b")
    weights.CopyFrom(numpy_helper.from_array(np.zeros(10, np.float32), "fc.b"))
    assert load(qdq, cnn).fingerprint != before


def test_loading_does_not_change_a_given_model(qdq: OnnxAdaptor, cnn: Any) -> None:
    before = cnn.SerializeToString(deterministic=True)
    load(qdq, cnn)
    assert cnn.SerializeToString(deterministic=True) == before


def test_unnamed_and_repeated_names_become_stable_ids(qdq: OnnxAdaptor, cnn: Any) -> None:
    for node in cnn.graph.node:
        node.name = "" if node.op_type == "Conv" else "same"
    tables = [qdq.capabilities(load(qdq, cnn)) for _ in range(2)]
    assert [op.id for op in tables[0].ops] == [op.id for op in tables[1].ops]
    assert len({op.id for op in tables[0].ops}) == len(tables[0])


def test_batch_normalization_and_identity_are_folded(qdq: OnnxAdaptor, new_graph: Any) -> None:
    g = new_graph()
    x = g.conv(g.input("x", [1, 3, 8, 8]), "conv", (3, 4))
    constants = [g.constant(n, np.full(4, v, np.float32)) for n, v in (("s", 2), ("b", 1), ("m", 0), ("v", 1))]
    y = g.node("Relu", [g.node("BatchNormalization", [x, *constants], "norm")], "relu")
    model = load(qdq, g.finish(g.node("Identity", [y], "same")))
    assert [n.op_type for n in model.graph.nodes] == ["Conv", "Relu"]
    assert model.fusion.ops[0].members == (0, 1)


def test_opset_11_is_converted_and_keeps_its_outputs(
    qdq: OnnxAdaptor, old_cnn: Callable[[int], Any], bench: Any
) -> None:
    old, new = bench(qdq, old_cnn(11)), bench(qdq, old_cnn(17))
    assert old.model.graph.opset >= 13
    plan = old.full_plan()
    np.testing.assert_allclose(old.outputs(plan), new.outputs(plan), rtol=1e-5, atol=1e-5)


def test_weights_listed_as_inputs_are_constants(qdq: OnnxAdaptor, cnn: Any) -> None:
    for tensor in cnn.graph.initializer:
        cnn.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    assert [spec.name for spec in load(qdq, cnn).inputs] == ["image"]


def test_an_intermediate_tensor_can_be_the_output(qdq: OnnxAdaptor, cnn: Any) -> None:
    model = load(qdq, cnn, outputs=("relu6:0",))
    assert [spec.name for spec in model.outputs] == ["relu6:0"]
    assert "fc" not in qdq.capabilities(model)


def test_an_unknown_output_names_the_nearest(qdq: OnnxAdaptor, cnn: Any) -> None:
    with pytest.raises(ModelError, match=r"no output 'relu6'.*\n.*'relu6:0'"):
        load(qdq, cnn, outputs=("relu6",))


def test_an_input_that_is_needed_cannot_be_left_out(qdq: OnnxAdaptor, new_graph: Any) -> None:
    g = new_graph()
    y = g.node("Add", [g.input("a", [1, 4]), g.input("b", [1, 4])], "add")
    with pytest.raises(ModelError, match="need the input 'b'"):
        load(qdq, g.finish(g.node("MatMul", [y, g.weight("w", 4, 4)], "product")), inputs=("a",))


def test_ops_inside_of_subgraphs_stay_float_and_it_is_said(qdq: OnnxAdaptor, new_graph: Any, bench: Any) -> None:
    g = new_graph()
    x, w = g.input("x", [1, 4]), g.weight("w", 4, 4)
    first = g.node("MatMul", [x, w], "first")
    branch = [helper.make_node("MatMul", [first, w], ["inner"], name="inner")]
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    body = helper.make_graph(branch, "branch", [], [out])
    total = g.node("ReduceSum", [x], "sum", keepdims=0)
    condition = g.node("Greater", [total, g.constant("limit", np.float32(0))], "condition")
    proto = g.finish(g.node("If", [condition], "choice", then_branch=body, else_branch=body))
    tested = bench(qdq, proto)
    assert tested.table.ops[0].id == "first"
    assert len(tested.table) == 1
    assert "stays float" in tested.model.notes[0]
    assert tested.signal_to_noise(tested.full_plan()) > 20


# -- external data ---------------------------------------------------------------------------------------------


def test_external_data_are_read_and_counted(qdq: OnnxAdaptor, cnn: Any, tmp_path: Path) -> None:
    path = with_external_data(cnn, tmp_path)
    model = load(qdq, path)
    assert model.size_bytes == path.stat().st_size + (tmp_path / "outside.data").stat().st_size
    assert model.fingerprint != load(qdq, cnn).fingerprint


@pytest.mark.parametrize("limit", [0, 1 << 30], ids=["mapped", "in memory"])
def test_a_model_with_external_data_is_quantized_and_saved_like_any_other(
    qdq: OnnxAdaptor, cnn: Any, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(model_module, "LARGE_BYTES", limit)
    plain = bench(qdq, cnn)
    outside = bench(qdq, with_external_data(cnn, tmp_path))
    assert (outside.model.folder is not None) == (limit == 0)
    for plan in (plain.full_plan(), plain.full_plan().with_precisions({"head": plain.table["head"].precisions[-1]})):
        candidate = outside.apply(plan)
        np.testing.assert_array_equal(outside.outputs(plan), plain.outputs(plan))
        folder = tmp_path / f"saved-{len(plan)}"
        folder.mkdir()
        artifact = qdq.save(candidate, folder)
        loaded = qdq.load_artifact(folder, candidate.options)
        (expected,), (found,) = (c.predict(plain.feeds[0]).values() for c in (candidate, loaded))
        np.testing.assert_array_equal(found, expected)
        written = sum((folder / f).stat().st_size for f in artifact.files if f != "autoq.json")
        assert abs(written - candidate.size_bytes) < 1 << 16


def test_the_fp32_model_with_external_data_is_saved_with_them(
    qdq: OnnxAdaptor, cnn: Any, bench: Any, tmp_path: Path
) -> None:
    tested = bench(qdq, with_external_data(cnn, tmp_path))
    folder = tmp_path / "saved"
    folder.mkdir()
    candidate = tested.apply(tested.full_plan().__class__())
    assert "model.data" in qdq.save(candidate, folder).files
    loaded = qdq.load_artifact(folder, candidate.options)
    (expected,), (found,) = (c.predict(tested.feeds[0]).values() for c in (candidate, loaded))
    np.testing.assert_array_equal(found, expected)


def test_missing_external_data_are_named(qdq: OnnxAdaptor, cnn: Any, tmp_path: Path) -> None:
    path = with_external_data(cnn, tmp_path)
    (tmp_path / "outside.data").unlink()
    with pytest.raises(ModelError, match=r"'outside.data' with the model's external data is missing"):
        load(qdq, path)


def test_cut_external_data_are_named(qdq: OnnxAdaptor, cnn: Any, tmp_path: Path) -> None:
    path = with_external_data(cnn, tmp_path)
    data = tmp_path / "outside.data"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"'outside.data' .* is too short: 100 bytes"):
        load(qdq, path)


def test_external_data_outside_of_the_folder_are_refused(qdq: OnnxAdaptor, cnn: Any, tmp_path: Path) -> None:
    path = with_external_data(cnn, tmp_path)
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        next(e for e in tensor.external_data if e.key == "location").value = "../outside.data"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="must lie beside the model"):
        load(qdq, path)


# -- what is refused -------------------------------------------------------------------------------------------


def test_a_missing_file(qdq: OnnxAdaptor, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing.onnx: there is no such model file"):
        load(qdq, tmp_path / "nothing.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, I am not a model\n" * 20, "not an ONNX model, or it is truncated"),
        (b"PK\x03\x04" + b"\xff" * 64, "PyTorch checkpoint"),
    ],
)
def test_a_file_that_is_no_model(qdq: OnnxAdaptor, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(qdq, path)


def test_a_truncated_file(qdq: OnnxAdaptor, saved_cnn: Path) -> None:
    saved_cnn.write_bytes(saved_cnn.read_bytes()[:-200])
    with pytest.raises(ModelError, match="truncated"):
        load(qdq, saved_cnn)


def test_an_object_that_is_no_model(qdq: OnnxAdaptor) -> None:
    with pytest.raises(ModelError, match=r"not a dict.*\n.*export"):
        load(qdq, {})


def test_an_invalid_graph_names_what_is_wrong(qdq: OnnxAdaptor, cnn: Any) -> None:
    cnn.graph.node[0].input[0] = "nobody_makes_this"
    with pytest.raises(ModelError, match="nobody_makes_this"):
        load(qdq, cnn)


def test_an_unknown_operator_is_named(qdq: OnnxAdaptor, cnn: Any) -> None:
    cnn.graph.node[1].op_type = "Relu2"
    with pytest.raises(ModelError, match="Relu2"):
        load(qdq, cnn)


def test_an_unknown_domain_is_named(qdq: OnnxAdaptor, cnn: Any) -> None:
    cnn.graph.node[1].domain = "my.company"
    with pytest.raises(ModelError, match=r"my\.company"):
        load(qdq, cnn)


def test_a_quantized_model_is_refused(qdq: OnnxAdaptor, cnn: Any, bench: Any) -> None:
    tested = bench(qdq, cnn)
    with pytest.raises(ModelError, match="quantized already"):
        load(qdq, tested.proto(tested.full_plan()))


def test_a_model_without_quantizable_ops_says_what_it_has(qdq: OnnxAdaptor, new_graph: Any) -> None:
    g = new_graph()
    proto = g.finish(g.node("Tanh", [g.input("x", [1, 4])], "tanh"))
    with pytest.raises(ModelError, match=r"no op that can be quantized\n.*it has Tanh"):
        qdq.capabilities(load(qdq, proto))
