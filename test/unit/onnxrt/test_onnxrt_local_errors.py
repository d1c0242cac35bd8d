"""The error each ONNX op makes by itself, against NumPy and against what ONNX Runtime runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import small_graphs
from numpy.typing import NDArray
from onnx import ModelProto

from autoq.adaptors.onnxrt import local_errors as implementation
from autoq.core.adaptor import Adaptor, ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.errors import DataError, TrialError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, OpPrecision, Scheme, TensorQuant
from autoq.core.registry import make_adaptor
from autoq.core.space import Space

ONE_THREAD = RunOptions(threads=1)

Floats = NDArray[np.float32]


def int8(granularity: Granularity = Granularity.PER_TENSOR, mode: Mode = Mode.STATIC) -> OpPrecision:
    return OpPrecision(mode, TensorQuant(DType.INT8, Scheme.SYM, granularity), TensorQuant(DType.UINT8, Scheme.ASYM))


def linear(weight: Floats, bias: Floats | None = None) -> ModelProto:
    """One matrix product, as a Gemm with a bias or as a MatMul."""
    g = small_graphs.Graph()
    inputs = [g.input("x", ["batch", weight.shape[0]]), g.constant("w", weight)]
    if bias is not None:
        return g.finish(g.node("Gemm", [*inputs, g.constant("b", bias)], "product"))
    return g.finish(g.node("MatMul", inputs, "product"))


def errors_of(
    proto: ModelProto, plan: Plan | None, arrays: Sequence[Any], framework: str = "onnxrt_qdq"
) -> dict[str, float]:
    """Local errors under a plan, or the full one, calibrated on the same arrays."""
    adaptor: Adaptor[Any] = make_adaptor(framework)
    model = adaptor.load(ModelSource(proto))
    table = adaptor.capabilities(model)
    batches = [Batch([array], None, len(array)) for array in arrays]
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    chosen = plan if plan is not None else Space.of(table).full_plan()
    return dict(adaptor.local_errors(model, chosen, calibration, batches, ONE_THREAD))


def on_grid(x: Floats) -> Floats:
    """Asymmetric uint8 over the range of an array."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    return ((np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale).astype(np.float32)


def weight_on_grid(w: Floats, axis: int | None) -> Floats:
    reach = np.abs(w).max() if axis is None else np.abs(w).max(axis=1 - axis, keepdims=True)
    scale = reach / 127
    return (np.clip(np.rint(w / scale), -127, 127) * scale).astype(np.float32)


@pytest.mark.parametrize("granularity", [Granularity.PER_TENSOR, Granularity.PER_CHANNEL])
def test_error_of_a_matmul_is_that_of_rounded_operands(granularity: Granularity) -> None:
    random = np.random.default_rng(0)
    w = random.standard_normal((24, 16)).astype(np.float32)
    x = random.standard_normal((50, 24)).astype(np.float32)
    found = errors_of(linear(w), Plan({"product": int8(granularity)}), [x[:20], x[20:]])
    expected, rounded = x @ w, on_grid(x) @ weight_on_grid(w, None if granularity is Granularity.PER_TENSOR else 1)
    assert found["product"] == pytest.approx(np.sum((expected - rounded) ** 2) / np.sum(expected**2), rel=0.02)


def test_error_of_a_dynamic_matmul_is_that_of_rounded_operands() -> None:
    random = np.random.default_rng(1)
    w = random.standard_normal((24, 16)).astype(np.float32)
    x = random.standard_normal((50, 24)).astype(np.float32)
    plan = Plan({"product": int8(Granularity.PER_CHANNEL, Mode.DYNAMIC)})
    found = errors_of(linear(w), plan, [x], "onnxrt_integerops")
    expected, rounded = x @ w, on_grid(x) @ weight_on_grid(w, 1)
    assert found["product"] == pytest.approx(np.sum((expected - rounded) ** 2) / np.sum(expected**2), rel=0.02)


@pytest.mark.parametrize("framework", ["onnxrt_qdq", "onnxrt_qlinearops", "openvino"])
def test_one_huge_channel_hurts_the_others_per_tensor_only(framework: str) -> None:
    random = np.random.default_rng(2)
    w = random.standard_normal((24, 16)).astype(np.float32)
    w[5, 3] = 1e4
    x = random.standard_normal((64, 24)).astype(np.float32)
    x[:, 5] = 0  # the huge weight meets nothing: the output is that of the others
    coarse, fine = (
        errors_of(linear(w), Plan({"product": int8(g)}), [x], framework)["product"]
        for g in (Granularity.PER_TENSOR, Granularity.PER_CHANNEL)
    )
    assert coarse > 0.5
    assert fine < 0.2  # the channel itself is lost


def test_quantized_forms_agree() -> None:
    """The two formats compute the same, and so make the same errors."""
    x = np.random.default_rng(3).standard_normal((6, 3, 16, 16)).astype(np.float32)
    qdq, operators = (
        errors_of(small_graphs.small_cnn(), None, [x], framework) for framework in ("onnxrt_qdq", "onnxrt_qlinearops")
    )
    assert operators == pytest.approx(qdq, rel=0.05)


def test_pieces_of_a_graph_give_the_errors_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(4).standard_normal((6, 3, 16, 16)).astype(np.float32)
    whole = errors_of(small_graphs.small_cnn(), None, [x])
    pieces: list[int] = []
    make = implementation.Chain

    def cut(*arguments: Any) -> Any:
        chain = make(*arguments)
        pieces.append(len(chain.segments))
        return chain

    monkeypatch.setattr(implementation, "_BUDGET", 1)
    monkeypatch.setattr(implementation, "Chain", cut)
    assert errors_of(small_graphs.small_cnn(), None, [x]) == pytest.approx(whole, rel=1e-4)
    assert pieces[0] > 3


def test_errors_of_one_op_reach_no_other() -> None:
    """A ruined op in front changes nothing for the op behind it."""
    random = np.random.default_rng(5)
    g = small_graphs.Graph()
    first = random.standard_normal((16, 16)).astype(np.float32)
    ruined = first.copy()
    ruined[:, 0] = 0
    ruined[0, 0] = 1e4
    names = [g.input("x", ["batch", 16]), g.constant("w1", ruined)]
    hidden = g.node("Relu", [g.node("MatMul", names, "first")], "relu")
    second = random.standard_normal((16, 8)).astype(np.float32)
    proto = g.finish(g.node("MatMul", [hidden, g.constant("w2", second)], "second"))
    x = random.standard_normal((40, 16)).astype(np.float32)
    x[:, 0] *= 1e-4
    alone = errors_of(proto, Plan({"second": int8(Granularity.PER_CHANNEL)}), [x])
    both = errors_of(proto, Plan({"first": int8(), "second": int8(Granularity.PER_CHANNEL)}), [x])
    assert both["first"] > 0.1
    assert both["second"] == pytest.approx(alone["second"], rel=0.05)


def test_dead_channels_stay_dead() -> None:
    """A large negative bias over weights near zero fills int32, and products must still fit beside it."""
    random = np.random.default_rng(6)
    w = random.standard_normal((64, 8)).astype(np.float32)
    w[:, 0] = -1e-6 * np.abs(w[:, 0])
    bias = random.standard_normal(8).astype(np.float32)
    bias[0] = -6.0
    g = small_graphs.Graph()
    inputs = [g.input("x", ["batch", 64]), g.constant("w", w), g.constant("b", bias)]
    proto = g.finish(g.node("Relu", [g.node("Gemm", inputs, "product")], "relu"))
    x = np.abs(random.standard_normal((32, 64))).astype(np.float32)
    for framework in ("onnxrt_qdq", "onnxrt_qlinearops"):
        found = errors_of(proto, Plan({"product": int8(Granularity.PER_CHANNEL)}), [x], framework)
        assert found["product"] < 1e-3


def test_openvino_quantizes_in_front_of_what_only_moves_values() -> None:
    """The float model is fed through the same Reshape, and must not see what its twin reads."""
    random = np.random.default_rng(7)
    w = random.standard_normal((24, 16)).astype(np.float32)
    g = small_graphs.Graph()
    shape = g.constant("shape", np.array([-1, 24], np.int64))
    flat = g.node("Reshape", [g.input("x", ["batch", 4, 6]), shape], "flat")
    proto = g.finish(g.node("MatMul", [flat, g.constant("w", w)], "product"))
    x = random.standard_normal((50, 4, 6)).astype(np.float32)
    found = errors_of(proto, Plan({"product": int8(Granularity.PER_CHANNEL)}), [x], "openvino")
    rows = x.reshape(-1, 24)
    expected, rounded = rows @ w, on_grid(rows) @ weight_on_grid(w, 1)
    assert found["product"] == pytest.approx(np.sum((expected - rounded) ** 2) / np.sum(expected**2), rel=0.02)


def test_data_that_do_not_fit_are_told() -> None:
    adaptor: Adaptor[Any] = make_adaptor("onnxrt_qdq")
    model = adaptor.load(ModelSource(linear(np.ones((4, 4), np.float32))))
    good = Batch([np.ones((2, 4), np.float32)], None, 2)
    calibration = adaptor.calibrate(model, [good], adaptor.needs(model, adaptor.capabilities(model)))
    bad = Batch([np.ones((2, 5), np.float32)], None, 2)
    with pytest.raises(DataError):
        adaptor.local_errors(model, Plan({"product": int8()}), calibration, [bad], ONE_THREAD)


def test_static_ops_need_calibration() -> None:
    adaptor: Adaptor[Any] = make_adaptor("onnxrt_qdq")
    model = adaptor.load(ModelSource(linear(np.ones((4, 4), np.float32))))
    with pytest.raises(TrialError):
        adaptor.local_errors(model, Plan({"product": int8()}), None, [], ONE_THREAD)
