"""Models of one op each, written by hand: large enough that its kernel takes the time, not its call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from autoq.adaptors.tensorflow_lite.graph import OP_NAMES, write

_CODES = {name: code for code, name in OP_NAMES.items()}
_IMAGE, _ROWS = (1, 28, 28, 64), (1, 64, 256)
_PAIRS = frozenset({"ADD", "SUB", "MUL", "MAXIMUM", "CONCATENATION", "PACK", "BATCH_MATMUL"})

PROBED = "probed"
"""Name of the tensor that the op in question makes."""


def micro_model(op_type: str) -> bytes:
    """A ``.tflite`` file with one op of a type, behind ops that can run in 8 bits where it needs such.

    Raises:
        KeyError: There is no such model.
    """
    builder = _Builder()
    if op_type == "FULLY_CONNECTED":
        builder.dense(builder.given(_ROWS), 512, PROBED)
    elif op_type == "EMBEDDING_LOOKUP":
        ids = builder.given((64,), schema.TensorType.INT32)
        table = builder.constant((4096, 256))
        builder.op(op_type, [ids, table], (64, 256), PROBED)
    elif op_type == "GATHER":
        ids = builder.given((64,), schema.TensorType.INT32)
        builder.op(op_type, [builder.constant((4096, 256)), ids], (64, 256), PROBED, schema.GatherOptionsT())
    elif op_type in ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE"):
        builder.convolution(op_type, builder.given(_IMAGE), PROBED)
    elif op_type == "BATCH_MATMUL":
        left, right = (builder.given((1, 4, 64, 64)) for _ in range(2))
        builder.op(op_type, [left, right], (1, 4, 64, 64), PROBED, schema.BatchMatMulOptionsT())
    else:
        _follower(builder, op_type)
    return builder.content()


def _follower(builder: _Builder, op_type: str) -> None:
    """An op that pays only behind another that runs in 8 bits."""
    image = builder.given(_IMAGE)
    made = [builder.convolution("CONV_2D", image, f"before{i}") for i in range(2 if op_type in _PAIRS else 1)]
    extra: list[int] = []
    shape: Sequence[int] = _IMAGE
    options = _OPTIONS[op_type]()
    if op_type in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        options.filterWidth = options.filterHeight = options.strideW = options.strideH = 2
        shape = (1, 14, 14, 64)
    elif op_type in ("MEAN", "SUM"):
        extra, shape = [builder.integers([1, 2])], (1, 64)
    elif op_type in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        extra, shape = [builder.integers([56, 56])], (1, 56, 56, 64)
    elif op_type == "CONCATENATION":
        options.axis, shape = 3, (1, 28, 28, 128)
    elif op_type == "PACK":
        options.valuesCount, options.axis, shape = 2, 0, (2, 1, 28, 28, 64)
    elif op_type == "SOFTMAX":
        options.beta = 1.0
    builder.op(op_type, [*made, *extra], shape, PROBED, options)


_OPTIONS: dict[str, Any] = {
    "ADD": schema.AddOptionsT,
    "SUB": schema.SubOptionsT,
    "MUL": schema.MulOptionsT,
    "MAXIMUM": schema.MaximumMinimumOptionsT,
    "CONCATENATION": schema.ConcatenationOptionsT,
    "PACK": schema.PackOptionsT,
    "AVERAGE_POOL_2D": schema.Pool2DOptionsT,
    "MAX_POOL_2D": schema.Pool2DOptionsT,
    "MEAN": schema.ReducerOptionsT,
    "SUM": schema.ReducerOptionsT,
    "RESIZE_BILINEAR": schema.ResizeBilinearOptionsT,
    "RESIZE_NEAREST_NEIGHBOR": schema.ResizeNearestNeighborOptionsT,
    "SOFTMAX": schema.SoftmaxOptionsT,
    "GELU": schema.GeluOptionsT,
    "HARD_SWISH": schema.HardSwishOptionsT,
    "LOGISTIC": lambda: None,
    "TANH": lambda: None,
    "RELU": lambda: None,
}


class _Builder:
    """Puts tensors and ops into one subgraph."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.operatorCodes = []
        self._model.buffers = [schema.BufferT()]
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._inputs: list[int] = []
        self._made = 0

    def given(self, shape: Sequence[int], kind: int = schema.TensorType.FLOAT32) -> int:
        """An input."""
        index = self._tensor(f"input{len(self._inputs)}", shape, kind)
        self._inputs.append(index)
        return index

    def constant(self, shape: Sequence[int]) -> int:
        """A weight."""
        return self._filled(self._random.standard_normal(shape).astype(np.float32), schema.TensorType.FLOAT32)

    def integers(self, values: Sequence[int]) -> int:
        """Axes or sizes."""
        return self._filled(np.asarray(values, np.int32), schema.TensorType.INT32)

    def dense(self, x: int, units: int, name: str) -> int:
        """A fully connected layer."""
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = True
        shape = [int(n) for n in self._graph.tensors[x].shape]
        operands = [x, self.constant((units, shape[-1])), self.constant((units,))]
        return self.op("FULLY_CONNECTED", operands, [*shape[:-1], units], name, options)

    def convolution(self, op_type: str, x: int, name: str) -> int:
        """A 3 × 3 convolution of any kind that keeps the size of the image."""
        height, width, channels = (int(n) for n in self._graph.tensors[x].shape[1:])
        options: Any
        if op_type == "CONV_2D_TRANSPOSE":
            options = schema.TransposeConvOptionsT()
            options.strideW = options.strideH = 2
            sizes = self.integers([1, 2 * height, 2 * width, channels])
            weight = self.constant((channels, 2, 2, channels))
            return self.op(op_type, [sizes, weight, x], (1, 2 * height, 2 * width, channels), name, options)
        depthwise = op_type == "DEPTHWISE_CONV_2D"
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        if depthwise:
            options.depthMultiplier = 1
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        weight = self.constant((1, 3, 3, channels) if depthwise else (channels, 3, 3, channels))
        operands = [x, weight, self.constant((channels,))]
        return self.op(op_type, operands, (1, height, width, channels), name, options)

    def op(
        self, op_type: str, operands: Sequence[int], shape: Sequence[int], name: str, options: Any | None = None
    ) -> int:
        """Any op; returns the tensor it makes."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = _CODES[op_type], _VERSIONS.get(op_type, 1)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self._model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs = np.asarray(operands, np.int32)
        made = self._tensor(name, shape, schema.TensorType.FLOAT32)
        operator.outputs = np.asarray([made], np.int32)
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
            operator.builtinOptions = options
        self._graph.operators.append(operator)
        self._made = made
        return made

    def content(self) -> bytes:
        """The file; its output is what the last op makes."""
        self._graph.inputs = np.asarray(self._inputs, np.int32)
        self._graph.outputs = np.asarray([self._made], np.int32)
        self._model.subgraphs = [self._graph]
        return write(self._model)

    def _tensor(self, name: str, shape: Sequence[int], kind: int, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), np.asarray(shape, np.int32), kind
        tensor.buffer = buffer
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _filled(self, values: NDArray[Any], kind: int) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        at = len(self._model.buffers) - 1
        return self._tensor(f"constant{at}", values.shape, kind, at)


_VERSIONS = {"FULLY_CONNECTED": 5, "CONV_2D": 1, "GELU": 1}
