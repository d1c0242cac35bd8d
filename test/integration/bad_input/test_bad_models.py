"""Models that cannot be read, run or quantized."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

IN_A_CHILD = ("tune", "job.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"these are words and no model", "not an ONNX model"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "not an ONNX model"),
        (b"", "the model file is empty"),
    ],
)
def test_a_file_that_is_no_onnx_model(place, content, said):
    place.model.write_bytes(content)
    place.refused(3, "digits.onnx", said)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_model(place, kept):
    data = place.model.read_bytes()
    place.model.write_bytes(data[: int(len(data) * kept)])
    place.refused(3, "digits.onnx", "truncated")


def test_a_model_error_is_the_same_through_a_child_process(place):
    place.model.write_bytes(b"these are words and no model")
    place.refused(3, "digits.onnx", "not an ONNX model", command=IN_A_CHILD)


def test_an_input_that_nothing_makes(place):
    place.change_model(lambda model: model.graph.node[1].input.__setitem__(0, "nowhere"))
    place.refused(3, "digits.onnx", "'nowhere'")


def test_an_unknown_op(place):
    place.change_model(lambda model: setattr(model.graph.node[1], "op_type", "Frobnicate"))
    place.refused(3, "Frobnicate")


def test_an_op_of_an_unknown_domain(place):
    def change(model):
        model.graph.node[1].op_type, model.graph.node[1].domain = "Frobnicate", "com.acme"
        model.opset_import.append(helper.make_opsetid("com.acme", 1))

    place.change_model(change)
    place.refused(3, "com.acme", "standard operators")


def test_external_data_that_is_missing(place):
    onnx.save(onnx.load(place.model), place.model, save_as_external_data=True, location="w.bin", size_threshold=0)
    (place.folder / "w.bin").unlink()
    place.refused(3, "w.bin", "missing", "copy it beside the model file")


def test_external_data_that_is_too_short(place):
    onnx.save(onnx.load(place.model), place.model, save_as_external_data=True, location="w.bin", size_threshold=0)
    (place.folder / "w.bin").write_bytes(b"short")
    place.refused(3, "w.bin")


def test_a_model_without_anything_to_quantize(place):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["r"]), helper.make_node("Flatten", ["r"], ["logits"])],
        "nothing",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 64])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    place.model.write_bytes(model.SerializeToString())
    place.refused(3, "no op that can be quantized", "Relu", "Conv")


def test_rules_that_leave_nothing_to_quantize(place):
    place.write_job(quantization__model_wise={"weight": {"dtype": "fp32"}, "activation": {"dtype": "fp32"}})
    place.refused(3, "no op of this model can be quantized under this job's rules")


def test_a_model_that_gives_nan(place):
    def change(model):
        nan = np.full((16, 1, 3, 3), np.nan, np.float32)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(nan, "conv1.weight"))

    place.change_model(change)
    place.refused(5, "the fp32 model", "holds nan at sample 0")
    place.refused(5, "the fp32 model", "holds nan at sample 0", command=IN_A_CHILD)


def test_a_model_that_loads_and_does_not_run(place):
    def change(model):
        model.graph.initializer[3].CopyFrom(numpy_helper.from_array(np.zeros(7, np.float32), "fc.bias"))
        del model.graph.output[0].type.tensor_type.shape.dim[:]

    place.change_model(change)
    place.refused(3, "the fp32 model does not run", "Gemm")


def test_a_model_that_is_not_there(place):
    place.model.unlink()
    place.refused(2, "job.yaml:4:9", "'digits.onnx' does not exist")


def test_a_folder_without_a_model(place):
    place.model.unlink()
    place.model.mkdir()
    place.refused(3, "digits.onnx", "exactly one .onnx file")


def test_another_model_is_not_mixed_into_a_resumed_job(place):
    def change(model):
        weight = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(1.5)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "conv1.weight"))

    place.write_job(tuning__exit_policy={"max_trials": 1})
    place.change_model(change)
    place.refused(6, "changed since this job was started", "without --resume",
                  command=("tune", "job.yaml", "--in-process", "--resume"))  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "broken.onnx"),
        ("evaluate", "job.yaml", "--model", "broken.onnx"),
        ("benchmark", "job.yaml", "--model", "broken.onnx"),
        ("benchmark", "job.yaml", "--model", "broken.onnx", "--instances", "2"),
    ],
)
def test_every_command_that_takes_a_model_refuses_a_broken_one(place, command):
    (place.folder / "broken.onnx").write_bytes(b"these are words and no model")
    place.refused(3, "broken.onnx", "not an ONNX model", command=command)
