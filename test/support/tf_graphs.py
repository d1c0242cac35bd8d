"""Float graphs made of single TensorFlow nodes, calibrated and run, for tests of what is built from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import small_tf

from autoq.adaptors.tensorflow.build import build, observable
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.fusion import Fusion, find_ops
from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.limits import why_not
from autoq.adaptors.tensorflow.model import TensorFlowModel
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant
from autoq.core.statistics import Calibration, TensorStatistics

raw = tf.raw_ops
_BINS = 512


def graph_of(write: Callable[[Any], Any], shape: Sequence[int | None] = (None, 8, 8, 4)) -> Graph:
    """The graph of a function of one placeholder ``x:0``; what it returns is fetched as ``y:0``, ``y_1:0``, ..."""
    graph = tf.Graph()
    with graph.as_default():
        made = write(tf.compat.v1.placeholder(tf.float32, shape, name="x"))
        results = made if isinstance(made, tuple) else (made,)
        names = [tf.identity(result, name="y" if not i else f"y_{i}").name for i, result in enumerate(results)]
    return Graph(graph.as_graph_def(), ("x:0",), tuple(names))


def model_of(graph: Graph) -> TensorFlowModel:
    """A graph as a loaded model."""
    frozen = Frozen(graph.proto, (), (), graph.inputs, graph.outputs, "serving_default", "a test's graph")
    return TensorFlowModel(frozen, find_ops(graph), "test", graph.proto.ByteSize())


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal values, scaled so that a product with them keeps the size of what it reads."""
    values = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(max(np.prod(shape[:-1]), 1))
    return values.astype(np.float32)


def conv(x: Any, filters: int, kernel: int = 3, name: str = "conv", seed: int = 0, **attributes: Any) -> Any:
    """A convolution with bias, strides 1 and padding ``SAME`` unless told otherwise."""
    values = weight(kernel, kernel, int(x.shape[-1]), filters, seed=seed)
    geometry = {"strides": [1, 1, 1, 1], "padding": "SAME", **attributes}
    return bias_add(raw.Conv2D(input=x, filter=values, name=name, **geometry), seed)


def bias_add(x: Any, seed: int = 0) -> Any:
    """Normal biases, not small beside what they are added to."""
    return raw.BiasAdd(value=x, bias=weight(1, int(x.shape[-1]), seed=seed + 100)[0], name=f"{x.op.name}_bias")


def static(observer: Observer = Observer.MINMAX, granularity: Granularity = Granularity.PER_CHANNEL) -> OpPrecision:
    """The precision of an op with a weight."""
    activation = TensorQuant(DType.UINT8, Scheme.ASYM, observer=observer)
    return OpPrecision(Mode.STATIC, TensorQuant(DType.INT8, Scheme.SYM, granularity), activation)


def plan_of(fusion: Fusion, ops: Sequence[str] | None = None, precision: OpPrecision | None = None) -> Plan:
    """Some ops, or all that can be, in 8 bits."""
    wanted = precision or static()
    chosen = [op for op in fusion.ops if not why_not(fusion.graph, op) and (ops is None or op.id in ops)]
    weightless = OpPrecision(Mode.STATIC, None, wanted.activation)
    return Plan({op.id: wanted if op.weight is not None else weightless for op in chosen})


@dataclass(frozen=True, eq=False)
class Case:
    """A model with data, its statistics and what it gives in float.

    Attributes:
        model: The model.
        fed: What its inputs are fed.
        calibration: Statistics of everything that a plan may ask for.
        expected: Its outputs.
    """

    model: TensorFlowModel
    fed: dict[str, np.ndarray]
    calibration: Calibration
    expected: list[np.ndarray]

    def built(self, plan: Plan | None = None) -> Any:
        """The graph of a plan; of all ops in 8 bits unless told otherwise."""
        return build(self.model, plan_of(self.model.fusion) if plan is None else plan, self.calibration)

    def error(self, proto: Any) -> float:
        """``‖quantized − float‖ / ‖float‖`` over all outputs, the graph optimized as everywhere."""
        results = run_optimized(proto, self.fed, self.model.graph.outputs)
        pairs = list(zip(results, self.expected, strict=True))
        difference = sum(float(np.square(q - f).sum()) for q, f in pairs)
        return float(np.sqrt(difference / sum(float(np.square(f).sum()) for _, f in pairs)))


def case_of(model: TensorFlowModel, x: np.ndarray) -> Case:
    """A model of one input, calibrated with what it is then run on."""
    ops = [op for op in model.fusion.ops if not why_not(model.graph, op)]
    names, fed = observable(model.fusion, ops), {model.graph.inputs[0]: x}
    values = small_tf.run(model.graph.proto, fed, (*names, *model.graph.outputs))
    found = {}
    for name, seen in zip(names, values[: len(names)], strict=True):
        low, high = float(seen.min()), float(seen.max())
        counts = np.histogram(seen, _BINS, (low, high))[0].astype(np.int64)
        found[name] = TensorStatistics(low, high, counts, low, high, seen.size)
    return Case(model, fed, Calibration(found, len(x), "test"), values[len(names) :])


def run_optimized(proto: Any, fed: dict[str, np.ndarray], fetched: Sequence[str]) -> list[np.ndarray]:
    """Run a graph on one thread, rewritten by grappler as it is for users."""
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(proto, name="")
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        return list(session.run(list(fetched), fed))


def images(samples: int = 4, size: int = 8, channels: int = 4, seed: int = 1) -> np.ndarray:
    """``[samples, size, size, channels]``, normal."""
    return np.random.default_rng(seed).standard_normal((samples, size, size, channels)).astype(np.float32)


def types(proto: Any) -> list[str]:
    """Types of a graph's nodes, without constants and what is fed and fetched."""
    return sorted(n.op for n in proto.node if n.op not in ("Const", "Placeholder", "Identity"))
