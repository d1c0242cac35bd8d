"""What is read, under which names, and what is refused."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_tf
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.capabilities import capability_table
from autoq.adaptors.tensorflow_lite.graph import parse, write
from autoq.adaptors.tensorflow_lite.micro import micro_model
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.core.adaptor import ModelSource
from autoq.core.batch import TensorSpec
from autoq.core.errors import ModelError
from autoq.core.space import Space
from autoq.core.statistics import Calibration


def edited(content: bytes, change: Callable[[Any], None]) -> bytes:
    model = parse(content)
    change(model)
    return write(model)


def test_a_converted_model_keeps_its_signature(cnn: LiteModel) -> None:
    assert cnn.inputs == (TensorSpec("image", "float32", (None, 16, 16, 3)),)
    assert cnn.outputs == (TensorSpec("scores", "float32", (None, 5)),)


def test_ops_of_a_converted_model_are_called_after_its_layers(cnn: LiteModel) -> None:
    names = [op.id for op in cnn.ops]
    assert not any(";" in name or "PartitionedCall" in name for name in names)
    assert names[-1] == "scores"
    assert any(name.startswith("depthwise_relu") for name in names)


def test_converting_twice_gives_one_model(cnn: LiteModel) -> None:
    assert load(ModelSource(small_tf.small_cnn())).fingerprint == cnn.fingerprint


def test_a_file_is_read_as_it_is(cnn_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(cnn_file)
    assert load(ModelSource(path)).content == cnn_file


def test_a_file_is_known_by_its_content(cnn_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(cnn_file)
    assert load(ModelSource(str(path))).content == cnn_file


def test_a_folder_with_one_file_is_that_file(cnn_file: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(cnn_file)
    (tmp_path / "labels.txt").write_text("shirt")
    assert load(ModelSource(tmp_path)).content == cnn_file


def test_a_saved_model_folder_is_converted(tmp_path: Path, cnn: LiteModel, pictures: np.ndarray) -> None:
    model = small_tf.small_cnn()
    model.export(tmp_path / "saved", verbose=False)
    found = load(ModelSource(tmp_path / "saved"))
    assert [spec.shape for spec in found.inputs] == [(None, 16, 16, 3)]
    assert sorted(op.type for op in found.ops) == sorted(op.type for op in cnn.ops)


def test_tensorflow_is_not_imported_for_a_file(cnn_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(cnn_file)
    code = (
        "import sys; from autoq.core.registry import make_adaptor; from autoq.core.adaptor import ModelSource;"
        f"make_adaptor('tensorflow_lite').load(ModelSource({str(path)!r}));"
        "assert 'tensorflow' not in sys.modules and 'onnx' not in sys.modules"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert not child.stderr
    assert not child.stdout


def test_converting_without_tensorflow_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK")
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from autoq.core.adaptor import ModelSource\n"
        "from autoq.core.errors import MissingDependencyError\n"
        "from autoq.core.registry import make_adaptor\n"
        "try:\n"
        f"    make_adaptor('tensorflow_lite').load(ModelSource({str(tmp_path / 'model.keras')!r}))\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "autoq[tensorflow]" in child.stdout, child.stderr


def test_a_file_without_signature_goes_by_its_tensors() -> None:
    model = load(ModelSource(micro_model("FULLY_CONNECTED")))
    assert [spec.name for spec in model.inputs] == ["input0"]
    assert [spec.name for spec in model.outputs] == ["probed"]


def test_tensors_of_one_name_get_names_of_their_own() -> None:
    def same(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors:
            tensor.name = b"x"

    model = load(ModelSource(edited(micro_model("ADD"), same)))
    names = [tensor.name for tensor in model.graph.tensors]
    assert len(set(names)) == len(names)


def test_outputs_can_be_chosen(transformer: LiteModel, cnn_file: bytes) -> None:
    chosen = load(ModelSource(cnn_file, outputs=("scores",)))
    assert [spec.name for spec in chosen.outputs] == ["scores"]
    assert len(transformer.outputs) == 1


@pytest.mark.parametrize("selection", [{"inputs": ("picture",)}, {"outputs": ("score",)}])
def test_an_unknown_input_or_output_is_told_with_the_nearest(cnn_file: bytes, selection: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(selection.values()))[0]) as raised:
        load(ModelSource(cnn_file, **selection))
    assert raised.value.hint


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        load(ModelSource(tmp_path / "none.tflite"))


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04 a zip", b"\x1c\0\0\0TFL3 cut short"])
def test_what_is_no_model_is_told(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"not a \.tflite model|damaged|cannot load"):
        load(ModelSource(content))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_told(cnn_file: bytes, share: float) -> None:
    with pytest.raises(ModelError):
        load(ModelSource(cnn_file[: int(len(cnn_file) * share)]))


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_wrong_bytes_loads_or_is_told(cnn_file: bytes, data: st.DataObject) -> None:
    spoilt = bytearray(cnn_file)
    for place in data.draw(st.lists(st.integers(8, len(spoilt) - 1), min_size=1, max_size=8)):
        spoilt[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):
        load(ModelSource(bytes(spoilt)))


def test_a_quantized_model_is_refused(cnn: LiteModel, calibration: Calibration) -> None:
    quantized = build(cnn, Space.of(capability_table(cnn, {})).full_plan(), calibration)
    with pytest.raises(ModelError, match="quantized already") as raised:
        load(ModelSource(quantized))
    assert raised.value.where


def test_a_custom_op_is_named(cnn_file: bytes) -> None:
    def custom(model: Any) -> None:
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = b"FlexErfinv"

    with pytest.raises(ModelError, match="FlexErfinv"):
        load(ModelSource(edited(cnn_file, custom)))


def _several(model: Any) -> None:
    first = model.signatureDefs[0]
    other = schema.SignatureDefT()
    other.inputs, other.outputs, other.subgraphIndex = first.inputs, first.outputs, 0
    first.signatureKey, other.signatureKey = b"predict", b"explain"
    model.signatureDefs = [first, other]


def test_several_signatures_are_listed(cnn_file: bytes) -> None:
    with pytest.raises(ModelError, match="several signatures: predict, explain"):
        load(ModelSource(edited(cnn_file, _several)))


def test_a_signature_can_be_chosen(cnn_file: bytes) -> None:
    model = load(ModelSource(edited(cnn_file, _several), options={"signature": "explain"}))
    assert [spec.name for spec in model.outputs] == ["scores"]


def test_an_unknown_signature_is_told_with_those_there_are(cnn_file: bytes) -> None:
    with pytest.raises(ModelError, match="no signature 'serve'") as raised:
        load(ModelSource(cnn_file, options={"signature": "serve"}))
    assert "serving_default" in str(raised.value)


def test_text_inputs_are_refused() -> None:
    def strings(model: Any) -> None:
        model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].type = schema.TensorType.STRING

    with pytest.raises(ModelError, match="type string"):
        load(ModelSource(edited(micro_model("EMBEDDING_LOOKUP"), strings)))


def test_ops_that_litert_lacks_are_named() -> None:
    tf = small_tf.tf

    @tf.function(input_signature=[tf.TensorSpec([4, 4], tf.float32, name="x")])
    def function(x: Any) -> Any:
        return {"y": tf.linalg.inv(x) @ tf.ones([4, 4])}

    with pytest.raises(ModelError, match=r"has ops that LiteRT lacks.*MatrixInverse"):
        load(ModelSource(function))


def test_a_model_in_half_precision_is_wanted_in_float32() -> None:
    keras, layers = small_tf.keras, small_tf.keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", dtype="mixed_float16", name="conv")(image)
    model = keras.Model(image, layers.GlobalAveragePooling2D(dtype="float32", name="mean")(x))
    with pytest.raises(ModelError, match=r"ops that LiteRT lacks in float16: .*Conv2D") as caught:
        load(ModelSource(model))
    assert "float32" in str(caught.value)


def test_recurrent_layers_exported_as_loops_are_told_from_missing_ops() -> None:
    steps = small_tf.keras.Input((5, 6), name="steps")
    model = small_tf.keras.Model(steps, small_tf.keras.layers.LSTM(4)(steps))
    with pytest.raises(ModelError, match=r"recurrent layers") as caught:
        load(ModelSource(model))
    assert "unroll=True" in (caught.value.hint or "")


def test_an_embedding_is_a_quantizable_op() -> None:
    layers = small_tf.keras.layers
    ids = small_tf.keras.Input((8,), dtype="int32", name="ids")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(64, 32)(ids))
    model = load(ModelSource(small_tf.keras.Model(ids, layers.Dense(4, name="scores")(x))))
    assert [op.type for op in model.ops] == ["GATHER", "MEAN", "FULLY_CONNECTED"]
