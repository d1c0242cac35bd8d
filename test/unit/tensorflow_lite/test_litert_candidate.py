"""Running a file, saving it, timing and comparing its ops one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_tf

from autoq.adaptors.tensorflow_lite import deployed, saving
from autoq.adaptors.tensorflow_lite.adaptor import LiteRtAdaptor
from autoq.adaptors.tensorflow_lite.build import build
from autoq.adaptors.tensorflow_lite.candidate import LiteCandidate
from autoq.adaptors.tensorflow_lite.capabilities import capability_table
from autoq.adaptors.tensorflow_lite.graph import graph_of, parse
from autoq.adaptors.tensorflow_lite.isolate import isolate
from autoq.adaptors.tensorflow_lite.local_errors import local_errors
from autoq.adaptors.tensorflow_lite.micro import micro_model
from autoq.adaptors.tensorflow_lite.model import LiteModel
from autoq.adaptors.tensorflow_lite.reading import load
from autoq.adaptors.tensorflow_lite.session import Session
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import DataError, ModelError, TrialError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode
from autoq.core.space import Space
from autoq.core.statistics import Calibration

OPTIONS = RunOptions(threads=1)


@pytest.fixture
def full(cnn: LiteModel, calibration: Calibration) -> LiteCandidate:
    plan = Space.of(capability_table(cnn, {})).full_plan()
    return LiteCandidate(build(cnn, plan, calibration), plan, cnn.interface, cnn, OPTIONS)


# -- running ---------------------------------------------------------------------------------------------------


def test_batches_of_any_size_give_the_same_rows(full: LiteCandidate, pictures: np.ndarray) -> None:
    whole = full.predict(pictures)["scores"]
    for size in (1, 3, 8, 2):
        found = full.predict(pictures[:size])["scores"]
        np.testing.assert_array_equal(found, whole[:size])


def test_outputs_are_copies(full: LiteCandidate, pictures: np.ndarray) -> None:
    first = full.predict(pictures[:2])["scores"]
    kept = first.copy()
    full.predict(pictures[2:4])
    np.testing.assert_array_equal(first, kept)


def test_the_native_object_is_the_interpreter(full: LiteCandidate, pictures: np.ndarray) -> None:
    runner = full.native.get_signature_runner()
    np.testing.assert_array_equal(runner(image=pictures[:1])["scores"], full.predict(pictures[:1])["scores"])


def test_a_closed_candidate_says_so(full: LiteCandidate, pictures: np.ndarray) -> None:
    full.close()
    with pytest.raises(TrialError, match="closed"):
        full.predict(pictures)


def test_a_fixed_batch_is_told() -> None:
    model = load(ModelSource(micro_model("CONV_2D")))
    candidate = LiteCandidate(model.content, FP32_PLAN, model.interface, model, OPTIONS)
    with pytest.raises(DataError, match=r"takes float32 \[1, 28, 28, 64\]") as raised:
        candidate.predict(np.zeros((3, 28, 28, 64), np.float32))
    assert "batches of 1" in (raised.value.hint or "")


def test_the_size_is_that_of_the_file(full: LiteCandidate, tmp_path: Path) -> None:
    saving.save(full, tmp_path)
    assert full.size_bytes == (tmp_path / saving.MODEL).stat().st_size


# -- saved models ----------------------------------------------------------------------------------------------


def test_a_file_of_the_user_s_own_loads(full: LiteCandidate, pictures: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(full.content)
    found = saving.load_artifact(path, OPTIONS)
    assert found.realized == FP32_PLAN
    np.testing.assert_array_equal(found.predict(pictures)["scores"], full.predict(pictures)["scores"])


def test_a_damaged_description_is_told(full: LiteCandidate, tmp_path: Path) -> None:
    saving.save(full, tmp_path)
    (tmp_path / saving.DESCRIPTION).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="description"):
        saving.load_artifact(tmp_path, OPTIONS)


def test_the_description_tells_plan_and_versions(full: LiteCandidate, tmp_path: Path) -> None:
    saving.save(full, tmp_path)
    told = json.loads((tmp_path / saving.DESCRIPTION).read_text(encoding="utf-8"))
    assert told["framework"] == "tensorflow_lite"
    assert told["ai-edge-litert"]
    assert Plan.from_json(told["realized"]) == full.realized


def test_several_files_are_listed(full: LiteCandidate, tmp_path: Path) -> None:
    for name in ("a.tflite", "b.tflite"):
        (tmp_path / name).write_bytes(full.content)
    with pytest.raises(ModelError, match=r"a\.tflite, b\.tflite"):
        saving.load_artifact(tmp_path, OPTIONS)


# -- one op at a time ------------------------------------------------------------------------------------------


def test_an_op_alone_computes_what_it_computes_in_the_model(full: LiteCandidate, pictures: np.ndarray) -> None:
    session = Session(full.content, full.interface, 1, keep_tensors=True)
    session.run(pictures)
    objects = parse(full.content)
    graph = graph_of(objects)
    for node in graph.nodes:
        alone = isolate(objects, graph, node, 1)
        found = alone.run([session.tensor(i) for i in alone.reads])
        np.testing.assert_array_equal(found, session.tensor(node.outputs[0]), err_msg=node.name)


def test_seconds_are_known_for_every_op(full: LiteCandidate, cnn: LiteModel, pictures: np.ndarray) -> None:
    costs = LiteRtAdaptor().profile(full, pictures)
    assert set(costs.seconds) == {op.id for op in cnn.ops}
    assert costs.overhead > 0


def test_weights_in_4_bits_err_more_than_in_8(cnn: LiteModel, pictures: np.ndarray) -> None:
    table = capability_table(cnn, {})
    stored = {row.op.id: [p for p in row.precisions if p.mode is Mode.WEIGHT_ONLY] for row in table}
    op, (eight, four) = next((op, found) for op, found in stored.items() if len(found) == 2)
    plans = (Plan({op: eight}), Plan({op: four}))
    errors = [local_errors(cnn, plan, None, [Batch(pictures, None, 8)], OPTIONS)[op] for plan in plans]
    assert 0 < errors[0] < errors[1]


def test_errors_of_the_transformer_are_small(transformer: LiteModel, token_calibration: Calibration) -> None:
    plan = Space.of(capability_table(transformer, {})).full_plan()
    found = local_errors(transformer, plan, token_calibration, [Batch(small_tf.sequences(8), None, 8)], OPTIONS)
    assert set(found) == set(plan)
    assert all(0 < error < 0.01 for error in found.values())


# -- deployed files --------------------------------------------------------------------------------------------


def test_coverage_tells_what_runs_on_integers(full: LiteCandidate, cnn: LiteModel, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(full.content)
    found = deployed.coverage(path, OPTIONS)
    assert found.nodes == {op.id for op in cnn.ops}
    assert found.version


def test_a_float_file_covers_nothing(cnn_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(cnn_file)
    assert not deployed.coverage(path, OPTIONS).nodes


def test_tensors_inside_are_real_numbers(
    full: LiteCandidate, cnn: LiteModel, pictures: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(full.content)
    name = cnn.ops[0].id
    found = deployed.run_tensors(path, [name, "no such tensor"], {"image": pictures}, OPTIONS)
    (want,) = LiteRtAdaptor().observe(cnn, [Batch(pictures, None, 8)], [name])
    assert list(found) == [name]
    assert found[name].dtype == np.float32
    assert np.linalg.norm(found[name] - want[name]) < 0.02 * np.linalg.norm(want[name])


def test_reference_kernels_agree_with_those_that_run(
    cnn: LiteModel, calibration: Calibration, pictures: np.ndarray, tmp_path: Path
) -> None:
    plan = Space.of(capability_table(cnn, {})).full_plan()
    exported = LiteRtAdaptor().export_tflite(cnn, plan, calibration, lambda: (), tmp_path / "model.tflite")
    assert exported.quantized == set(plan)
    want = LiteRtAdaptor().exported_tensors(cnn, plan, calibration, exported, ["scores"], pictures)["scores"]
    found = deployed.run_tensors(exported.file, ["scores"], pictures, OPTIONS)["scores"]
    assert np.linalg.norm(found - want) < 0.02 * np.linalg.norm(want)


def test_a_file_that_is_no_model_is_a_failed_trial(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(TrialError):
        deployed.coverage(path, OPTIONS)


def test_pictures_of_any_size_may_be_too_small_at_first() -> None:
    layers = small_tf.keras.layers
    image = small_tf.keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, strides=2)(layers.Conv2D(8, 5, strides=2, activation="relu")(image))
    scores = layers.Dense(2, name="scores")(layers.GlobalAveragePooling2D()(x))
    model = load(ModelSource(small_tf.keras.Model(image, scores)))
    candidate = LiteCandidate(model.content, FP32_PLAN, model.interface, model, RunOptions(threads=1))
    for height, width in [(32, 24), (20, 40)]:
        pictures = np.ones((2, height, width, 3), np.float32)
        assert candidate.predict({"image": pictures})["scores"].shape == (2, 2)
