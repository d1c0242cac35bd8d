"""One static op as 8-bit nodes.

oneDNN's kernels have no zero points and add signed tensors wrongly. An unsigned tensor with a zero point is to them one
that is too large by a constant, and a constant can be moved into biases: a producer adds its own offset, and a reader
takes off what the offset of its input adds to its output, which is the offset times the sum of the weights of that
channel. With ``y' = y + o_y``, ``x' = x + o_x`` and a summand ``s' = s + o_s``::

    y' = W x' + s' + (b + o_y - o_x * sum(W) - o_s)

A Relu in the kernel then clips at the lower end of the output's grid, which an unsigned type does anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.adaptors.tensorflow.emit import KERNEL, Emitter, Stored, constant
from autoq.adaptors.tensorflow.forms import (
    AVERAGE_POOL,
    CONV,
    DEPTHWISE,
    MATMUL,
    MAX_POOL,
    Form,
    Weight,
    fused_node,
    pool_node,
)
from autoq.adaptors.tensorflow.fusion import FusedOp, Fusion
from autoq.adaptors.tensorflow.graph import NodeDef, attribute
from autoq.adaptors.tensorflow.limits import edges, is_dilated, mean_window, pad_before
from autoq.adaptors.tensorflow.ranges import Grid
from autoq.adaptors.tensorflow.runtime import tf
from autoq.adaptors.tensorflow.storage import Storage
from autoq.adaptors.tensorflow.summand import is_last_reader
from autoq.adaptors.tensorflow.weights import QuantizedWeight, at_scales, quantize, wide_enough
from autoq.core.errors import TrialError
from autoq.core.precision import OpPrecision, TensorQuant

_POOLS = {"MaxPool": MAX_POOL, "AvgPool": AVERAGE_POOL}
_CONVOLUTIONS = {"Conv2D": CONV, "DepthwiseConv2dNative": DEPTHWISE}
_CLIPS = frozenset({"", "Relu", "Relu6"})
_GEOMETRY = ("strides", "padding", "explicit_paddings", "dilations")


class Kernels:
    """Writes the static ops of one graph."""

    def __init__(
        self, emitter: Emitter, fusion: Fusion, storage: Storage, memo: dict[Any, Any], refused: Mapping[Form, str]
    ):
        """Make a writer.

        Args:
            emitter: Where to.
            fusion: The ops of the source graph.
            storage: How tensors are stored.
            memo: Quantized weights, shared by all plans of a model.
            refused: Forms that do not work on this machine, and why.
        """
        self._emitter = emitter
        self._fusion = fusion
        self._storage = storage
        self._memo = memo
        self._refused = refused

    def write(self, op: FusedOp, precision: OpPrecision) -> None:
        """Write one op.

        Raises:
            TrialError: The kernel form it needs does not work on this machine.
        """
        if op.type in _POOLS:
            self._pool(op)
        elif op.type == "Mean":
            self._mean(op)
        elif op.type == "MatMul":
            self._product(op, precision)
        else:
            self._convolution(op, precision)

    # -- ops ----------------------------------------------------------------------------------------------------

    def _convolution(self, op: FusedOp, precision: OpPrecision) -> None:
        emitter, node = self._emitter, self._node(op)
        operand, out = self._operand(op), self._storage.grids[op.output]
        summand = None
        if op.summand is not None:
            summand = emitter.unsigned(emitter.quantized(op.summand, self._storage.grids[op.summand]))
            if not is_last_reader(self._fusion, op):
                summand = emitter.own(summand, f"{op.id}/summand")
        # A residual sum is only right on unsigned tensors.
        written = out.unsigned if summand is not None else out
        relu = bool(op.activation) or not written.signed
        fused = ("BiasAdd", *(["Sum"] if summand else []), *(["Relu"] if relu else []), "Requantize")
        form = self._form(op, _CONVOLUTIONS[op.type], operand, fused, written.kind, dilated=is_dilated(node))
        shift = written.offset - (summand.grid.offset if summand else 0.0)
        weight, bias = self._constants(op, precision, operand.grid, shift)
        attributes = {key: _plain(node, key) for key in _GEOMETRY if key in node.attr}
        beyond = edges(emitter.graph, op)
        if operand.grid.zero_point and beyond is not None and beyond != ((0, 0), (0, 0)):
            # The kernel would pad with what stands for the least value.
            table = emitter.array(f"{op.id}/paddings", np.asarray([(0, 0), *beyond, (0, 0)], np.int32))
            operand = emitter.pad(operand, table, f"{op.id}/pad")
            attributes |= {"padding": b"VALID", "explicit_paddings": []}
        elif pad_before(emitter.graph, op) is not None and beyond is not None:
            sizes = [0, 0, *beyond[0], *beyond[1], 0, 0]
            attributes |= {"padding": b"EXPLICIT", "explicit_paddings": sizes}
        made = fused_node(emitter, self._name(op), form, operand, weight, bias, written, attributes, summand)
        stored = self._clipped(op, Stored(made, written))
        emitter.keep(op.output, emitter.signed(stored, out) if written != out else stored)

    def _product(self, op: FusedOp, precision: OpPrecision) -> None:
        emitter, operand = self._emitter, self._operand(op)
        if op.output not in self._storage.stored:
            kind = op.activation if op.activation != "Relu6" else ""
            form = self._form(op, MATMUL, operand, ("BiasAdd", *([kind] if kind else []), "Dequantize"), "float")
            weight, bias = self._constants(op, precision, operand.grid, 0.0)
            made = fused_node(emitter, self._name(op), form, operand, weight, bias, None, {})
            if kind != op.activation:
                made = emitter.add("Relu6", emitter.fresh(f"{op.id}/clip"), [made], {"T": tf.float32})
            self._float_result(op, made)
            return
        out = self._storage.grids[op.output]
        if op.activation in _CLIPS:
            parts, shift = ("Relu",) if op.activation or not out.signed else (), out.offset
        else:
            parts, shift = (op.activation,), 0.0
        form = self._form(op, MATMUL, operand, ("BiasAdd", *parts, "Requantize"), out.kind)
        weight, bias = self._constants(op, precision, operand.grid, shift)
        made = fused_node(emitter, self._name(op), form, operand, weight, bias, out, {})
        stored = self._clipped(op, Stored(made, out))
        reshape = self._reshape(op)
        if reshape is not None:
            inputs = [stored.name, emitter.float_of(_second(reshape))]
            made = emitter.add_like(reshape, emitter.fresh(f"{reshape.name}/stored"), inputs, stored.type)
            stored = Stored(made, out)
        emitter.keep(op.output, stored)

    def _pool(self, op: FusedOp) -> None:
        node, operand = self._node(op), self._operand(op)
        form = self._form(op, _POOLS[op.type], operand, (), operand.grid.kind)
        attributes = {key: _plain(node, key) for key in ("ksize", "strides", "padding")}
        made = pool_node(self._emitter, self._name(op), form, operand, attributes)
        self._emitter.keep(op.output, Stored(made, operand.grid))

    def _mean(self, op: FusedOp) -> None:
        """A mean over height and width is a depthwise convolution whose window is the whole image."""
        emitter, operand, out = self._emitter, self._operand(op), self._storage.grids[op.output]
        window = mean_window(emitter.graph, op)
        shape = emitter.graph.shape(op.operands[0])
        if window is None or shape is None or shape[3] is None:
            raise TrialError("height, width or channels of this mean are not known", where=op.id)
        channels, positions = shape[3], window[0] * window[1]
        share = np.full(channels, 1.0 / positions, np.float32)
        values = np.full((*window, channels, 1), 127, np.int8)
        weight = Weight(
            emitter.add_proto(constant(emitter.fresh(f"{op.id}/window"), values, tf.qint8)),
            emitter.array(f"{op.id}/window_low", -share),
            emitter.array(f"{op.id}/window_high", share),
        )
        fused = ("BiasAdd", *([] if out.signed else ["Relu"]), "Requantize")
        form = self._form(op, DEPTHWISE, operand, fused, out.kind)
        bias = np.full(channels, out.offset - operand.grid.offset, np.float32)
        attributes = {"strides": [1, 1, 1, 1], "padding": b"VALID"}
        made = fused_node(
            emitter, self._name(op), form, operand, weight, emitter.array(f"{op.id}/bias", bias), out, attributes
        )
        if not attribute(self._node(op), "keep_dims").b:
            squeeze = {"T": Stored(made, out).type, "squeeze_dims": [1, 2]}
            made = emitter.add("Squeeze", emitter.fresh(f"{op.id}/squeeze"), [made], squeeze)
        emitter.keep(op.output, Stored(made, out))

    # -- parts --------------------------------------------------------------------------------------------------

    def _operand(self, op: FusedOp) -> Stored:
        tensor = op.operands[0]
        return self._emitter.quantized(tensor, self._storage.grids[tensor])

    def _form(
        self, op: FusedOp, kernel: str, operand: Stored, fused: tuple[str, ...], writes: str, *, dilated: bool = False
    ) -> Form:
        form = Form(kernel, operand.grid.kind, fused, writes, dilated)
        if form in self._refused:
            raise TrialError(
                f"the 8-bit kernel '{form.label}' does not work on this machine: {self._refused[form]}", where=op.id
            )
        return form

    def _clipped(self, op: FusedOp, stored: Stored) -> Stored:
        """Do what the kernel's own Relu and the end of the grid leave of an activation."""
        grid = stored.grid
        if op.activation not in ("Relu", "Relu6"):
            return stored
        low = grid.zero_point if grid.zero_point else None
        high = grid.stored(6.0) if op.activation == "Relu6" and grid.real[1] > 6.0 + grid.scale / 2 else None
        return self._emitter.clamp(stored, low, high)

    def _float_result(self, op: FusedOp, made: str) -> None:
        reshape = self._reshape(op)
        if reshape is None:
            self._emitter.add("Identity", op.last, [made], {"T": tf.float32})
        else:
            inputs = [made, self._emitter.float_of(_second(reshape))]
            self._emitter.add_like(reshape, op.last, inputs, tf.float32)

    def _constants(self, op: FusedOp, precision: OpPrecision, operand: Grid, shift: float) -> tuple[Weight, str]:
        """Weight and bias, the bias with what the offsets of input and output ask for."""
        assert precision.weight is not None
        channels_last = self._channels_last(op)
        weight = self._weight(op, precision.weight, channels_last)
        row = self._emitter.graph.constant(op.bias) if op.bias is not None else None
        plain = np.zeros(weight.sums.shape) if row is None else row.astype(np.float64).reshape(-1)
        bias = plain + shift - operand.offset * weight.sums
        scales = wide_enough(weight.scales, operand.scale, bias)
        base = f"{op.id}/weight"
        if np.array_equal(scales, weight.scales):
            key = (op.id, precision.weight, "constants")
            if key not in self._memo:
                self._memo[key] = _weight_nodes(base, weight, self._shape(op))
            nodes = self._memo[key]
        else:
            weight = at_scales(channels_last, scales)
            bias = plain + shift - operand.offset * weight.sums
            nodes = _weight_nodes(base, weight, self._shape(op))
        values, low, high = (self._emitter.add_proto(node) for node in nodes)
        return Weight(values, low, high), self._emitter.array(f"{op.id}/bias", bias.astype(np.float32))

    def _weight(self, op: FusedOp, quant: TensorQuant, channels_last: NDArray[np.float32]) -> QuantizedWeight:
        key = (op.id, quant)
        if key not in self._memo:
            self._memo[key] = quantize(channels_last, quant)
        found: QuantizedWeight = self._memo[key]
        return found

    def _channels_last(self, op: FusedOp) -> NDArray[np.float32]:
        """The weight with its output channels as last axis."""
        assert op.weight is not None
        value = self._emitter.graph.constant(op.weight)
        assert value is not None
        if op.type == "DepthwiseConv2dNative":
            return value.reshape(*value.shape[:2], -1)
        return value.T if op.type == "MatMul" and attribute(self._node(op), "transpose_b").b else value

    def _shape(self, op: FusedOp) -> tuple[int, ...]:
        """Shape of the weight as its kernel wants it."""
        assert op.weight is not None
        value = self._emitter.graph.constant(op.weight)
        assert value is not None
        turned = op.type == "MatMul" and attribute(self._node(op), "transpose_b").b
        return value.shape[::-1] if turned else value.shape

    def _reshape(self, op: FusedOp) -> NodeDef | None:
        nodes = (self._emitter.graph.by_name[name] for name in op.members)
        return next((node for node in nodes if node.op == "Reshape"), None)

    def _node(self, op: FusedOp) -> NodeDef:
        return self._emitter.graph.by_name[op.id]

    def _name(self, op: FusedOp) -> str:
        return f"{op.id}/{KERNEL}"


def _second(node: NodeDef) -> str:
    name: str = node.input[1]
    return name if ":" in name else f"{name}:0"


def _plain(node: NodeDef, key: str) -> Any:
    value = attribute(node, key)
    return value.s if value.WhichOneof("value") == "s" else list(value.list.i)


def _weight_nodes(base: str, weight: QuantizedWeight, shape: tuple[int, ...]) -> tuple[NodeDef, NodeDef, NodeDef]:
    reach = (weight.scales * np.float32(127.0)).astype(np.float32)
    ends = reach.reshape(()) if reach.size == 1 else reach
    return (
        constant(base, weight.values.reshape(shape), tf.qint8),
        constant(f"{base}_low", -ends),
        constant(f"{base}_high", ends),
    )
