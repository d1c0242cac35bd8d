"""Small ONNX models with known structure, and a way to calibrate them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt import adaptor as adaptors
from autoq.adaptors.onnxrt.adaptor import OnnxAdaptor
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import Plan
from autoq.core.precision import Mode
from autoq.core.space import Space, SpaceRules
from autoq.core.statistics import Calibration

FLOAT = TensorProto.FLOAT
ONE_THREAD = RunOptions(threads=1)


class Graph:
    """Builds an ONNX model node by node, with random weights of a sensible size."""

    def __init__(self, opset: int = 17) -> None:
        self._random = np.random.default_rng(7)
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[Any] = []
        self._opset = opset

    def input(self, name: str, shape: Sequence[int | str | None], dtype: int = FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def constant(self, name: str, values: Any) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(name, (self._random.standard_normal(shape) / fan_in**0.5).astype(np.float32))

    def node(self, op_type: str, inputs: Sequence[str], name: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; its outputs are ``name:0``, ``name:1``... and the first is returned."""
        names = [f"{name}:{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op_type, list(inputs), names, name=name, **attributes))
        return names[0]

    def conv(self, x: str, name: str, channels: tuple[int, int], kernel: int = 3, group: int = 1) -> str:
        weight = self.weight(f"{name}.w", channels[1], channels[0] // group, kernel, kernel)
        bias = self.weight(f"{name}.b", channels[1])
        pads = [kernel // 2] * 4
        return self.node("Conv", [x, weight, bias], name, pads=pads, group=group)

    def finish(self, *outputs: str) -> ModelProto:
        values = [helper.make_tensor_value_info(o, FLOAT, None) for o in outputs]
        graph = helper.make_graph(self._nodes, "test", self._inputs, values, self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=8)


def small_cnn(opset: int = 17) -> ModelProto:
    """Conv+Relu, depthwise Conv+Clip, residual Add, MaxPool, GlobalAveragePool, Flatten, Gemm."""
    g = Graph(opset)
    x = g.node("Relu", [g.conv(g.input("image", ["batch", 3, 16, 16]), "stem", (3, 8))], "relu")
    bounds = [g.constant("zero", np.float32(0)), g.constant("six", np.float32(6))]
    y = g.node("Clip", [g.conv(x, "depthwise", (8, 8), group=8), *bounds], "relu6")
    x = g.node("Add", [x, g.conv(y, "project", (8, 8), kernel=1)], "residual")
    x = g.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("GlobalAveragePool", [g.conv(x, "head", (8, 16))], "average")
    x = g.node("Flatten", [x], "flatten")
    return g.finish(g.node("Gemm", [x, g.weight("fc.w", 10, 16), g.weight("fc.b", 10)], "fc", transB=1))


def encoder() -> ModelProto:
    """Two MatMul+bias on one input, attention between them, a third MatMul, residual and LayerNormalization."""
    g = Graph()
    x = g.input("tokens", ["batch", "time", 32])

    def linear(source: str, name: str) -> str:
        product = g.node("MatMul", [source, g.weight(f"{name}.w", 32, 32)], name)
        return g.node("Add", [product, g.weight(f"{name}.b", 32)], f"{name}/bias")

    query, key = linear(x, "query"), linear(x, "key")
    scores = g.node("MatMul", [query, g.node("Transpose", [key], "turn", perm=[0, 2, 1])], "scores")
    context = g.node("MatMul", [g.node("Softmax", [scores], "softmax", axis=-1), x], "context")
    summed = g.node("Add", [x, linear(context, "output")], "residual")
    scale = [g.constant("ln.w", np.ones(32, np.float32)), g.constant("ln.b", np.zeros(32, np.float32))]
    return g.finish(g.node("LayerNormalization", [summed, *scale], "norm"))


Feed = Mapping[str, np.ndarray[Any, Any]]


def random_feed(model: OnnxModel, seed: int = 0) -> Feed:
    """Standard normal inputs; axes of any size become 2."""
    random = np.random.default_rng(seed)
    return {
        spec.name: random.standard_normal([s if isinstance(s, int) else 2 for s in spec.shape or ()]).astype(np.float32)
        for spec in model.inputs
    }


class Bench:
    """A model on its adaptor, calibrated on random inputs."""

    def __init__(self, adaptor: OnnxAdaptor, proto: ModelProto, feeds: Sequence[Feed] | None = None) -> None:
        self.adaptor = adaptor
        self.model = adaptor.load(ModelSource(proto))
        self.table: CapabilityTable = adaptor.capabilities(self.model)
        self.feeds = list(feeds or [random_feed(self.model, seed) for seed in range(8)])
        needs = adaptor.needs(self.model, self.table)
        self.calibration: Calibration = adaptor.calibrate(self.model, [Batch(f, None, 1) for f in self.feeds], needs)

    def full_plan(self, *modes: Mode) -> Plan:
        return Space.of(self.table, SpaceRules(modes=modes or None)).full_plan()

    def apply(self, plan: Plan) -> Any:
        return self.adaptor.apply(self.model, plan, self.calibration, ONE_THREAD)

    def proto(self, plan: Plan) -> ModelProto:
        """The model a plan makes, before optimization."""
        return ModelProto.FromString(self.apply(plan).source.model)

    def outputs(self, plan: Plan) -> np.ndarray[Any, Any]:
        """First output on all calibration inputs, in one array."""
        candidate = self.apply(plan)
        return np.concatenate([next(iter(candidate.predict(f).values())).reshape(-1) for f in self.feeds])

    def signal_to_noise(self, plan: Plan) -> float:
        """Decibels, against fp32."""
        expected, found = self.outputs(Plan()), self.outputs(plan)
        return float(10 * np.log10((expected**2).sum() / max(float(((expected - found) ** 2).sum()), 1e-20)))


@pytest.fixture(autouse=True)
def _no_probe_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def new_graph() -> Callable[..., Graph]:
    return Graph


@pytest.fixture
def cnn() -> ModelProto:
    return small_cnn()


@pytest.fixture
def old_cnn() -> Callable[[int], ModelProto]:
    return small_cnn


@pytest.fixture
def transformer() -> ModelProto:
    return encoder()


@pytest.fixture
def qdq() -> OnnxAdaptor:
    return adaptors.qdq()


@pytest.fixture(params=["qdq", "qlinearops"])
def static_adaptor(request: pytest.FixtureRequest) -> OnnxAdaptor:
    return adaptors.qdq() if request.param == "qdq" else adaptors.qlinearops()


@pytest.fixture
def bench() -> type[Bench]:
    return Bench


@pytest.fixture
def saved_cnn(cnn: ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "cnn.onnx"
    onnx.save(cnn, path)
    return path
