"""The streaming calibrator against all activations kept in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt import calibrator_segments
from autoq.adaptors.onnxrt.calibrator import collect, observe
from autoq.adaptors.onnxrt.calibrator_segments import Chain, measure_shapes, nbytes, split
from autoq.adaptors.onnxrt.model import OnnxModel, load
from autoq.adaptors.onnxrt.session import SessionSettings, make_session
from autoq.core.adaptor import ModelSource
from autoq.core.batch import Array, Batch
from autoq.core.errors import DataError, ModelError
from autoq.core.statistics import Needs

FLOAT = TensorProto.FLOAT


def weight(name: str, *shape: int, seed: int = 0) -> TensorProto:
    values = np.random.default_rng([seed, len(name), *shape]).normal(size=shape).astype(np.float32) / 3
    return numpy_helper.from_array(values, name)


def cnn() -> onnx.ModelProto:
    """Convolutions with a skip connection, a resize whose sizes are computed, and an If."""
    branch = [
        helper.make_graph(
            [helper.make_node(op, ["merged"], [f"{op}_out"], name=f"{op}_node")],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}_out", FLOAT, None)],
        )
        for op in ("Tanh", "Neg")
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"], name="conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], name="relu0"),
        helper.make_node("Shape", ["r0"], ["size"], name="shape"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], name="conv1", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Sigmoid", ["c1"], ["s1"], name="sigmoid"),
        helper.make_node("Mul", ["c1", "s1"], ["m1"], name="mul"),
        helper.make_node("Resize", ["m1", "", "", "size"], ["u1"], name="resize"),
        helper.make_node("Add", ["r0", "u1"], ["merged"], name="add"),
        helper.make_node("ReduceMean", ["merged"], ["mean"], name="mean", keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["positive"], name="greater"),
        helper.make_node("If", ["positive"], ["chosen"], name="if", then_branch=branch[0], else_branch=branch[1]),
        helper.make_node("Conv", ["chosen", "w2"], ["y"], name="conv2"),
    ]
    graph = helper.make_graph(
        nodes,
        "cnn",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [
            weight("w0", 8, 3, 3, 3),
            weight("w1", 8, 8, 3, 3),
            weight("w2", 4, 8, 1, 1),
            numpy_helper.from_array(np.float32(0.0), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


OBSERVED = ("x", "r0", "c1", "m1", "u1", "merged", "chosen", "y")


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    return load(ModelSource(cnn()))


def images(count: int, side: int = 16, rows: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [(rng.normal(size=(rows, 3, side, side)) * (i + 1)).astype(np.float32) for i in range(count)]


def batches(arrays: Sequence[np.ndarray]) -> Iterator[Batch]:
    for array in arrays:
        yield Batch(array, None, len(array))


def feed(batch: Batch) -> Mapping[str, Array]:
    assert isinstance(batch.inputs, np.ndarray)
    return {"x": batch.inputs}


def everything(model: OnnxModel, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    inner = [n for n in OBSERVED if n != "x"]
    session = make_session(model.serialize(inner), SessionSettings(threads=1))
    runs = [{"x": a} | dict(zip(inner, session.run(inner, {"x": a}), strict=True)) for a in arrays]
    return {name: np.concatenate([r[name].ravel() for r in runs]) for name in OBSERVED}


def test_statistics_equal_brute_force(model: OnnxModel) -> None:
    arrays = images(5)
    found = collect(model, batches(arrays), Needs(OBSERVED), feed, threads=1)
    assert found.samples == 10
    assert tuple(found.tensors) == OBSERVED
    for name, values in everything(model, arrays).items():
        seen = found.tensors[name]
        assert (seen.minimum, seen.maximum, seen.elements) == (values.min(), values.max(), values.size), name
        width = (seen.high - seen.low) / seen.counts.size
        numbers = (np.floor(values.astype(np.float64) / width) - seen.low / width).astype(int)
        np.testing.assert_array_equal(seen.counts, np.bincount(numbers, minlength=seen.counts.size), err_msg=name)


@pytest.mark.parametrize("budget", [1, 20_000, 70_000])
def test_segments_see_what_the_whole_model_computes(model: OnnxModel, budget: int) -> None:
    arrays = images(3)
    whole = everything(model, arrays)
    found = collect(model, batches(arrays), Needs(OBSERVED), feed, threads=1, budget=budget)
    for name, values in whole.items():
        seen = found.tensors[name]
        assert seen.elements == seen.counts.sum() == values.size
        assert (seen.minimum, seen.maximum) == pytest.approx((values.min(), values.max()), rel=1e-5)


def test_segments_fit_the_budget_and_cover_every_tensor_once(model: OnnxModel) -> None:
    inner = [n for n in OBSERVED if n != "x"]
    shapes = measure_shapes(model.graph, inner, {"x": images(1)[0]}, 1)
    sizes = {n: nbytes(model.graph, n, s) for n, s in shapes.items()}
    budget = 40_000
    segments = split(model.graph, inner, sizes, budget)
    handed_out = [n for s in segments for n in s.outputs if n in inner]
    assert len(segments) > 1
    assert sorted(handed_out) == sorted(inner)
    for segment in segments:
        own = [sizes[n] for n in segment.outputs if n in sizes]
        assert sum(own) <= budget or len(own) == 1


def test_measured_shapes_are_those_of_the_tensors(model: OnnxModel) -> None:
    array = images(1, side=10)[0]
    (found,) = observe(model, batches([array]), OBSERVED, feed, threads=1)
    shapes = measure_shapes(model.graph, [n for n in OBSERVED if n != "x"], {"x": array}, 1)
    assert shapes == {n: v.shape for n, v in found.items() if n != "x"}


def test_chain_computes_every_node_once(model: OnnxModel) -> None:
    inner = [n for n in OBSERVED if n != "x"]
    shapes = measure_shapes(model.graph, inner, {"x": images(1)[0]}, 1)
    protos = [
        calibrator_segments.extract(model.graph, s, shapes)
        for s in Chain(model.graph, inner, shapes, 20_000, SessionSettings(threads=1)).segments
    ]
    names = [node.name for proto in protos for node in proto.graph.node]
    assert len(protos) > 2
    assert len(names) == len(set(names))


def test_larger_batches_are_cut_again(model: OnnxModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = Chain.__init__

    def counting(self: Chain, *args: object) -> None:
        original(self, *args)  # type: ignore[arg-type]
        made.append(len(self.segments))

    monkeypatch.setattr(Chain, "__init__", counting)
    arrays = [*images(2, side=8), *images(2, side=32), *images(1, side=8)]
    found = collect(model, batches(arrays), Needs(OBSERVED), feed, threads=1, budget=40_000)
    assert len(made) == 2
    assert made[1] > made[0]
    assert found.tensors["x"].elements == sum(a.size for a in arrays)


def test_ranges_alone_need_no_histogram(model: OnnxModel) -> None:
    arrays = images(2)
    found = collect(model, batches(arrays), Needs(OBSERVED, histogram=False), feed, threads=1)
    for name, values in everything(model, arrays).items():
        seen = found.tensors[name]
        assert (seen.minimum, seen.maximum, seen.counts.size) == (values.min(), values.max(), 0)


def test_same_data_give_the_same_digest(model: OnnxModel) -> None:
    digests = [collect(model, batches(images(n)), Needs(("r0",)), feed, threads=1).digest for n in (2, 2, 3)]
    assert digests[0] == digests[1] != digests[2]


def test_observe_streams_in_the_order_asked_for(model: OnnxModel) -> None:
    drawn: list[int] = []

    def source() -> Iterator[Batch]:
        for index, batch in enumerate(batches(images(3))):
            drawn.append(index)
            yield batch

    stream = observe(model, source(), ("y", "x", "r0"), feed, threads=1)
    first = next(stream)
    assert tuple(first) == ("y", "x", "r0")
    assert drawn == [0]
    assert len(list(stream)) == 2


def test_tensors_that_are_no_floats_are_left_out(model: OnnxModel) -> None:
    found = collect(model, batches(images(1)), Needs(("size", "r0", "positive")), feed, threads=1)
    assert tuple(found.tensors) == ("r0",)


def test_nothing_to_observe(model: OnnxModel) -> None:
    found = collect(model, batches(images(2)), Needs(()), feed, threads=1)
    assert (dict(found.tensors), found.samples) == ({}, 4)


def test_unknown_tensor_names_the_nearest(model: OnnxModel) -> None:
    with pytest.raises(ModelError, match=r"no tensor 'mergd'[\s\S]*merged"):
        collect(model, batches(images(1)), Needs(("mergd",)), feed)


def test_nan_in_the_data_names_a_tensor(model: OnnxModel) -> None:
    array = images(1)[0]
    array[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="tensor 'r0': calibration data drive this tensor to NaN"):
        collect(model, batches([array]), Needs(("r0", "y")), feed, threads=1)


def test_data_the_model_cannot_take_are_named(model: OnnxModel) -> None:
    with pytest.raises(DataError, match="the model fails on the calibration data"):
        collect(model, batches([np.zeros((1, 5, 8, 8), np.float32)]), Needs(("r0",)), feed, threads=1)


def test_external_weights_serve_every_segment(tmp_path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(cnn(), path, save_as_external_data=True, location="weights.data", size_threshold=0)
    found = load(ModelSource(path))
    inside = load(ModelSource(cnn()))
    arrays = images(2)
    one = collect(found, batches(arrays), Needs(OBSERVED), feed, threads=1, budget=20_000)
    other = collect(inside, batches(arrays), Needs(OBSERVED), feed, threads=1, budget=20_000)
    assert [s.maximum for s in one.tensors.values()] == [s.maximum for s in other.tensors.values()]


def test_large_models_keep_their_weights_in_files(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(cnn(), path, save_as_external_data=True, location="weights.data", size_threshold=0)
    monkeypatch.setattr("autoq.adaptors.onnxrt.model.LARGE_BYTES", 100)
    large = load(ModelSource(path))
    assert large.folder is not None
    found = collect(large, batches(images(2)), Needs(OBSERVED), feed, threads=1, budget=20_000)
    assert found.tensors["y"].elements > 0


def test_tensor_read_both_before_and_after_the_last_observed_one() -> None:
    nodes = [
        helper.make_node("Exp", ["x"], ["early"], name="exp"),
        helper.make_node("Tanh", ["early"], ["t"], name="tanh"),
        helper.make_node("Mul", ["t", "early"], ["late"], name="mul"),
        helper.make_node("Sub", ["late", "early"], ["y"], name="sub"),
    ]
    ends = [helper.make_tensor_value_info(n, FLOAT, ["n", 3, 8, 8]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "skip", ends[:1], ends[1:])
    skip = load(ModelSource(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)))
    arrays = images(1, side=8)
    found = collect(skip, batches(arrays), Needs(("t", "late")), feed, threads=1, budget=1)
    expected = np.exp(arrays[0]) * np.tanh(np.exp(arrays[0]))
    assert found.tensors["late"].maximum == pytest.approx(float(expected.max()), rel=1e-5)
