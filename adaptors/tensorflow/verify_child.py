"""Run every 8-bit kernel form once on a tiny graph and compare it with float; a process of its own, as some may crash.

Run as ``python -m autoq.adaptors.tensorflow.verify_child START``: one JSON line ``[number, error or message]`` per form
on standard output, from form number START on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.emit import Attribute, Emitter, Stored, constant
from autoq.adaptors.tensorflow.forms import (
    DEPTHWISE,
    MATMUL,
    MAX_POOL,
    Form,
    Weight,
    all_forms,
    fused_node,
    pool_node,
)
from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.ranges import Grid
from autoq.adaptors.tensorflow.runtime import tf
from autoq.adaptors.tensorflow.weights import quantize
from autoq.core.precision import DType, Granularity, Scheme, TensorQuant

Values = NDArray[np.float32]
Attributes = dict[str, Attribute]

_CHANNELS, _FILTERS = 16, 24
_WEIGHTS = (
    TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL),
    TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_TENSOR),
)
# Strides and padding of the convolutions and pools that are tried.
_GEOMETRIES = ((1, "SAME"), (2, "VALID"), (1, "EXPLICIT"))
# TensorFlow has no window with gaps that also strides.
_GEOMETRIES_DILATED = ((1, "SAME"), (1, "VALID"), (1, "EXPLICIT"))
_BORDER = [0, 0, 1, 1, 1, 1, 0, 0]

_ACTIVATIONS: dict[str, Callable[[Values], Values]] = {
    "Relu": lambda y: np.maximum(y, np.float32(0)),
    "Tanh": np.tanh,
    "Sigmoid": lambda y: np.asarray(tf.sigmoid(y)),
    "GeluExact": lambda y: np.asarray(tf.nn.gelu(y, approximate=False)),
    "GeluApproximate": lambda y: np.asarray(tf.nn.gelu(y, approximate=True)),
}


def relative_error(form: Form) -> float:
    """Largest ``‖quantized − float‖ / ‖float‖`` of a form over strides, paddings and kinds of weights."""
    trial = _Trial(form)
    expected = list(trial.write())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(trial.emitter.proto, name="")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        results = session.run([name for name, _ in expected], {"x:0": trial.x, "s:0": trial.summand})
    return max(
        float(np.linalg.norm(result - truth) / np.linalg.norm(truth))
        for result, (_, truth) in zip(results, expected, strict=True)
    )


class _Trial:
    """The graph of one form, with what it reads and what it should give."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._random = np.random.default_rng(0)
        shape = (16, 64) if form.kernel == MATMUL else (2, 9, 9, _CHANNELS)
        self.x = self._normal(shape)
        if form.reads == "quint8":
            self.x = np.abs(self.x)
        self.summand = np.zeros(1, np.float32)
        inputs = tf.compat.v1.GraphDef()
        for name in ("x", "s"):
            inputs.node.add(name=name, op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
        self.emitter = Emitter(Graph(inputs, ("x:0", "s:0"), ()))
        for node in inputs.node:
            self.emitter.copy(node)

    def write(self) -> Iterator[tuple[str, Values]]:
        """Write the form in each geometry; yields the tensor to fetch and what it should hold."""
        operand = self.emitter.quantized("x:0", _grid(self.x, self.form.reads))
        if self.form.kernel == MATMUL:
            yield from (self._fused(f"{n}", operand, quant, {}) for n, quant in enumerate(_WEIGHTS))
        elif self.form.fused:
            geometries = _GEOMETRIES_DILATED if self.form.dilated else _GEOMETRIES
            # A summand has one shape, so only the geometry that keeps it is tried with one.
            for stride, padding in geometries[:1] if "Sum" in self.form.fused else geometries:
                attributes: Attributes = {"strides": [1, stride, stride, 1], "padding": padding.encode()}
                attributes |= {"explicit_paddings": _BORDER} if padding == "EXPLICIT" else {}
                attributes |= {"dilations": [1, 2, 2, 1]} if self.form.dilated else {}
                for number, quant in enumerate(_WEIGHTS):
                    yield self._fused(f"{padding}{stride}{number}", operand, quant, attributes)
        else:
            for stride, padding in _GEOMETRIES[:2]:
                yield self._pool(f"{padding}{stride}", operand, stride, padding)

    def _fused(self, name: str, operand: Stored, quant: TensorQuant, attributes: Attributes) -> tuple[str, Values]:
        form, emitter = self.form, self.emitter
        if form.kernel == MATMUL:
            plain = self._normal((64, _FILTERS))
        else:
            plain = self._normal((3, 3, _CHANNELS, 1 if form.kernel == DEPTHWISE else _FILTERS))
        channels_last = plain.reshape(3, 3, -1) if form.kernel == DEPTHWISE else plain
        quantized = quantize(channels_last, quant)
        bias = self._normal((quantized.sums.size,))
        truth = self._product(plain, attributes) + bias
        summand = None
        if "Sum" in form.fused:
            if self.summand.size == 1:
                self.summand = np.abs(self._normal(truth.shape)) * np.float32(8)
            summand = emitter.own(emitter.quantized("s:0", _grid(self.summand, "quint8")), f"s{name}")
            truth = truth + self.summand
        for part in form.fused:
            if part in _ACTIVATIONS:
                truth = np.asarray(_ACTIVATIONS[part](truth), np.float32)
        reach = quantized.scales * np.float32(127)
        ends = reach.reshape(()) if reach.size == 1 else reach
        weight = Weight(
            emitter.add_proto(constant(f"w{name}", quantized.values.reshape(plain.shape), tf.qint8)),
            emitter.array(f"low{name}", -ends),
            emitter.array(f"high{name}", ends),
        )
        # An unsigned result of a form that has negative ones is not asked for: Relu comes with it, or it clips.
        grid = _grid(truth, form.writes) if form.writes != "float" else None
        if grid is not None and not grid.signed:
            truth = np.maximum(truth, np.float32(0))
        row = emitter.array(f"b{name}", bias)
        made = fused_node(emitter, f"y{name}", form, operand, weight, row, grid, attributes, summand)
        return self._fetched(name, made, grid), truth

    def _pool(self, name: str, operand: Stored, stride: int, padding: str) -> tuple[str, Values]:
        window, strides = [1, 3, 3, 1], [1, stride, stride, 1]
        attributes = {"ksize": window, "strides": strides, "padding": padding.encode()}
        pool = tf.nn.max_pool2d if self.form.kernel == MAX_POOL else tf.nn.avg_pool2d
        made = pool_node(self.emitter, f"y{name}", self.form, operand, attributes)
        return self._fetched(name, made, operand.grid), np.asarray(pool(self.x, window, strides, padding))

    def _product(self, weight: Values, attributes: Attributes) -> Values:
        if self.form.kernel == MATMUL:
            return np.asarray(self.x @ weight, np.float32)
        padding = str(attributes["padding"], "ascii") if isinstance(attributes["padding"], bytes) else ""
        x = self.x
        if padding == "EXPLICIT":
            x, padding = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), "VALID"
        gaps = [2, 2] if self.form.dilated else [1, 1]
        if self.form.kernel == DEPTHWISE:
            return np.asarray(tf.nn.depthwise_conv2d(x, weight, attributes["strides"], padding, dilations=gaps))
        return np.asarray(tf.nn.conv2d(x, weight, attributes["strides"], padding, dilations=gaps))

    def _fetched(self, name: str, made: str, grid: Grid | None) -> str:
        if grid is None:
            return made
        self.emitter.keep(f"out{name}:0", Stored(made, grid))
        return self.emitter.float_of(f"out{name}:0")

    def _normal(self, shape: tuple[int, ...]) -> Values:
        return self._random.standard_normal(shape).astype(np.float32)


def _grid(values: Values, kind: str) -> Grid:
    if kind == "qint8":
        return Grid(True, float(np.abs(values).max()) / 127.0)
    return Grid(False, float(values.max()) / 255.0)


def main() -> None:
    """Verify every form from the one on that the command line names."""
    start = int(sys.argv[1])
    for number, form in enumerate(all_forms()[start:], start):
        answer: float | str
        try:
            answer = relative_error(form)
        except (tf.errors.OpError, ValueError) as error:
            answer = str(error).splitlines()[0]
        sys.stdout.write(json.dumps([number, answer]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
