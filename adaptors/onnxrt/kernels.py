"""The quantized form of each op type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from autoq.adaptors.onnxrt.emit import MICROSOFT, Emitter, Stored
from autoq.adaptors.onnxrt.fusion import FusedOp
from autoq.adaptors.onnxrt.graph import attribute
from autoq.adaptors.onnxrt.ranges import PROBABILITIES, Grid, Ranges, constant_grid
from autoq.adaptors.onnxrt.weights import QuantizedWeight, quantize, wide_enough
from autoq.calibration.thresholds import quantize_weight
from autoq.core.errors import TrialError
from autoq.core.precision import OpPrecision, TensorQuant

# There is no quantized division: one by a constant is a product with its reciprocal.
_PRODUCT = {"Div": "Mul"}

WeightMemo = dict[tuple[str, str, TensorQuant], tuple[QuantizedWeight, TensorProto]]


class Kernels:
    """Writes ops in their static or dynamic form."""

    def __init__(self, emitter: Emitter, ranges: Ranges, memo: WeightMemo, *, qdq: bool) -> None:
        self._emitter = emitter
        self._ranges = ranges
        self._memo = memo
        self._qdq = qdq
        self.standard = False
        self._dynamic: dict[str, tuple[str, str, str]] = {}

    def static(self, op: FusedOp, precision: OpPrecision, *, keep: bool) -> None:
        """Write `op` with ranges fixed by calibration; `keep` leaves its result quantized."""
        assert precision.activation is not None
        activation = precision.activation
        operands = [self._operand(name, activation) for name in op.operands]
        if op.type == "Div":
            divisor: NDArray[np.float32] = self._emitter.graph.array(op.operands[1])
            operands[1] = self._constant(f"{op.operands[1]}/reciprocal", np.reciprocal(divisor))
        if op.type == "MatMul":
            self._matmul(op, precision, [o.triple for o in operands])
            if keep:
                self._emitter.quantized_of(op.output, self._ranges.grid(op.output, activation, op.clip))
            return
        result = self._emitter.declare(op.output, self._result_grid(op, activation)) if keep else None
        write = self._write_qdq if self._qdq else self._write_qoperator
        write(op, precision, operands, result)
        if result is None:
            self._tail(op.members[1:])

    def dynamic(self, op: FusedOp, precision: OpPrecision) -> None:
        """Write `op` with activation ranges found at run time."""
        (operand,) = op.operands
        if op.type == "LSTM":
            self._lstm(op, precision)
            return
        if op.type not in ("MatMul", "Gemm"):
            raise TrialError(f"ONNX Runtime has no dynamic form of {op.type}", where=op.id)
        if operand not in self._dynamic:
            names = tuple(self._emitter.fresh(f"{operand}/dynamic_{part}") for part in ("value", "scale", "zero_point"))
            source = self._emitter.float_of(operand)
            self._emitter.add("DynamicQuantizeLinear", [source], names, f"{operand}/dynamic_quantize")
            self._dynamic[operand] = (names[0], names[1], names[2])
        self._matmul(op, precision, [self._dynamic[operand]])

    # -- parts -------------------------------------------------------------------------------------------------

    def _node(self, op: FusedOp) -> NodeProto:
        return self._emitter.graph.nodes[op.anchor]

    def _operand(self, name: str, quant: TensorQuant) -> Stored:
        stored = self._emitter.stored(name)
        if stored is not None:
            return stored
        if name in self._emitter.graph.initializers:
            return self._constant(name, self._emitter.graph.array(name))
        return self._emitter.quantized_of(name, self._ranges.grid(name, quant))

    def _result_grid(self, op: FusedOp, quant: TensorQuant) -> Grid:
        return PROBABILITIES if op.type == "Softmax" else self._ranges.grid(op.output, quant, op.clip)

    def _constant(self, name: str, values: NDArray[np.float32]) -> Stored:
        return self._emitter.constant_stored(name, values, constant_grid(values))

    def _weight(
        self,
        name: str,
        layout: str,
        quant: TensorQuant | None,
        axis: int,
        arrange: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    ) -> tuple[QuantizedWeight, str]:
        assert quant is not None
        key = (name, layout, quant)
        if key not in self._memo:
            array = self._emitter.graph.array(name)
            quantized = quantize(np.ascontiguousarray(arrange(array) if arrange else array), quant, axis)
            unused = self._emitter.fresh(f"{name}/{layout}_{quant.granularity}")
            tensor = numpy_helper.from_array(quantized.values, unused)
            self._memo[key] = quantized, tensor
        quantized, tensor = self._memo[key]
        return quantized, self._emitter.share(tensor)

    def _scale(self, name: str, scales: NDArray[np.float32]) -> tuple[str, str]:
        """Names of weight scales (a scalar when there is one) and of int8 zero points in the same shape."""
        shaped = scales.reshape(()) if scales.size == 1 else scales
        constant = self._emitter.constant
        return constant(f"{name}/scale", shaped), constant(f"{name}/zero_point", np.zeros(shaped.shape, np.int8))

    def _matmul(self, op: FusedOp, precision: OpPrecision, operands: list[tuple[str, str, str]]) -> None:
        """A float result from two 8-bit operands; the bias is added in float, inside the kernel."""
        if self.standard:
            self._standard_matmul(op, precision, operands)
            return
        node, value = self._node(op), operands[0]
        bias, members, gain = op.bias, op.members[1:], 1.0
        if op.weight is None:
            second = operands[1]
        else:
            flip = op.type == "Gemm" and attribute(node, "transB", 0)
            layout, arrange = ("turned", np.transpose) if flip else ("columns", None)
            weight, name = self._weight(op.weight, layout, precision.weight, 1, arrange)
            gain = float(attribute(node, "alpha", 1.0)) if op.type == "Gemm" else 1.0
            second = (name, *self._scale(f"{op.id}/weight", weight.scales * np.float32(gain)))
        inputs = [value[0], second[0], value[1], second[1], value[2], second[2]]
        if bias is not None:
            row = self._emitter.graph.array(bias).reshape(-1)
            beta = float(attribute(node, "beta", 1.0)) if op.type == "Gemm" else 1.0
            inputs.append(self._emitter.constant(f"{op.id}/bias", row * np.float32(beta)))
            members = op.members[2:] if op.type == "MatMul" else members
        last = op.members[1] if bias is not None and op.type == "MatMul" else op.anchor
        output = self._emitter.graph.nodes[last].output[0]
        self._emitter.add("MatMulIntegerToFloat", inputs, [output], op.id, domain=MICROSOFT)
        self._tail(members)

    def _standard_matmul(self, op: FusedOp, precision: OpPrecision, operands: list[tuple[str, str, str]]) -> None:
        """A MatMul between dequantize nodes; its bias stays the float node it was."""
        inputs = [self._dequantized(op, number, operand) for number, operand in enumerate(operands)]
        if op.weight is not None:
            weight, name = self._weight(op.weight, "columns", precision.weight, 1)
            stored = (name, *self._scale(f"{op.id}/weight", weight.scales))
            inputs.append(self._dequantized(op, len(inputs), stored, axis=1))
        self._emitter.add("MatMul", inputs, self._node(op).output, op.id)
        self._tail(op.members[1:])

    def _dequantized(self, op: FusedOp, number: int, stored: tuple[str, str, str], **values: Any) -> str:
        name = self._emitter.fresh(f"{op.id}/operand_{number}")
        self._emitter.add("DequantizeLinear", stored, [name], f"{op.id}/dequantize_{number}", **values)
        return name

    def _tail(self, members: tuple[int, ...]) -> None:
        for index in members:
            self._emitter.copy(self._emitter.graph.nodes[index])

    def _lstm(self, op: FusedOp, precision: OpPrecision) -> None:
        node = self._node(op)
        inputs = [self._emitter.float_of(name) for name in (*node.input, *[""] * (8 - len(node.input)))]
        scales: list[str] = []
        for position, part in ((1, "input"), (2, "recurrent")):
            # ONNX stores [directions, 4 * hidden, columns]; the kernel wants the columns in front.
            weight, inputs[position] = self._weight(
                inputs[position], "lstm", precision.weight, 2, lambda a: a.transpose(0, 2, 1)
            )
            directions, _, columns = weight.values.shape
            shape = (directions, columns) if weight.scales.size > 1 else (directions,)
            per_direction = np.broadcast_to(weight.scales, shape)
            scales.append(self._emitter.constant(f"{op.id}/{part}_scale", np.ascontiguousarray(per_direction)))
            zeros = np.zeros(per_direction.shape, np.int8)
            scales.append(self._emitter.constant(f"{op.id}/{part}_zero_point", zeros))
        self._emitter.add(
            "DynamicQuantizeLSTM", [*inputs, *scales], node.output, op.id, domain=MICROSOFT, attributes=node.attribute
        )

    def _convolution(
        self, op: FusedOp, precision: OpPrecision, activation: Stored
    ) -> tuple[str, str, str, str | None, str | None]:
        """Weight, its scale and zero point, int32 bias and the bias's scale, of a Conv or Gemm."""
        assert op.weight is not None
        node, bias, bias_scale = self._node(op), None, None
        axis = 1 if op.type == "Gemm" and not attribute(node, "transB", 0) else 0
        weight, name = self._weight(op.weight, "rows" if axis == 0 else "columns", precision.weight, axis)
        alpha, beta = (float(attribute(node, k, 1.0)) if op.type == "Gemm" else 1.0 for k in ("alpha", "beta"))
        scales = weight.scales * np.float32(alpha)
        if op.bias is not None:
            row = self._emitter.graph.array(op.bias).reshape(-1) * np.float32(beta)
            wide = wide_enough(scales, float(activation.grid.scale), row)
            if not np.array_equal(wide, scales):
                scales = wide
                name = self._requantized(op, name, scales / np.float32(alpha), axis)
            product = scales * activation.grid.scale
            values = np.rint(row.astype(np.float64) / product).astype(np.int32)
            bias = self._emitter.constant(f"{op.id}/bias", values)
            bias_scale = self._emitter.constant(
                f"{op.id}/bias_scale", product.reshape(()) if product.size == 1 else product
            )
        scale, zero_point = self._scale(f"{op.id}/weight", scales)
        return name, scale, zero_point, bias, bias_scale

    def _requantized(self, op: FusedOp, name: str, scales: NDArray[np.float32], axis: int) -> str:
        assert op.weight is not None
        array = self._emitter.graph.array(op.weight)
        values = quantize_weight(array, scales, axis if scales.size > 1 else None)
        return self._emitter.constant(f"{name}/wide", values)

    # -- formats -----------------------------------------------------------------------------------------------

    def _write_qdq(self, op: FusedOp, precision: OpPrecision, operands: list[Stored], result: Stored | None) -> None:
        node, emitter = self._node(op), self._emitter
        inputs = []
        for number, operand in enumerate(operands):
            inputs.append(emitter.fresh(f"{op.id}/operand_{number}"))
            emitter.add("DequantizeLinear", operand.triple, inputs[-1:], f"{op.id}/dequantize_{number}")
        attributes = _without_factors(node)
        if op.weight is not None:
            weight, scale, zero_point, bias, bias_scale = self._convolution(op, precision, operands[0])
            axis = 1 if op.type == "Gemm" and not attribute(node, "transB", 0) else 0
            inputs.append(emitter.fresh(f"{op.id}/weight"))
            emitter.add(
                "DequantizeLinear", [weight, scale, zero_point], inputs[-1:], f"{op.id}/dequantize_weight", axis=axis
            )
            if bias is not None and bias_scale is not None:
                inputs.append(emitter.fresh(f"{op.id}/bias_float"))
                emitter.add("DequantizeLinear", [bias, bias_scale], inputs[-1:], f"{op.id}/dequantize_bias", axis=0)
        output = node.output[0] if result is None else emitter.fresh(f"{op.id}/result")
        emitter.add(_PRODUCT.get(op.type, op.type), inputs, [output], op.id, attributes=attributes)
        if result is not None:
            emitter.add(
                "QuantizeLinear", [output, result.scale, result.zero_point], [result.name], f"{op.id}/quantize_result"
            )

    def _write_qoperator(
        self, op: FusedOp, precision: OpPrecision, operands: list[Stored], result: Stored | None
    ) -> None:
        node, emitter = self._node(op), self._emitter
        after = (result.scale, result.zero_point) if result is not None else ()
        outputs = [result.name if result is not None else node.output[0]]
        attributes = _without_factors(node)
        match op.type:
            case "Conv":
                weight, scale, zero_point, bias, _ = self._convolution(op, precision, operands[0])
                inputs = [*operands[0].triple, weight, scale, zero_point, *after, *([bias] if bias else [])]
                emitter.add("QLinearConv", inputs, outputs, op.id, attributes=attributes)
            case "Gemm":
                weight, scale, zero_point, bias, _ = self._convolution(op, precision, operands[0])
                inputs = [*operands[0].triple, weight, scale, zero_point, bias or "", *after]
                emitter.add("QGemm", inputs, outputs, op.id, domain=MICROSOFT, attributes=attributes)
            case "Concat":
                inputs = [*after, *(part for operand in operands for part in operand.triple)]
                emitter.add("QLinearConcat", inputs, outputs, op.id, domain=MICROSOFT, attributes=attributes)
            case "Softmax":
                inputs = [*operands[0].triple, *after]
                attributes.append(helper.make_attribute("opset", emitter.graph.opset))
                if attribute(node, "axis") is None:
                    attributes.append(helper.make_attribute("axis", -1))
                emitter.add("QLinearSoftmax", inputs, outputs, op.id, domain=MICROSOFT, attributes=attributes)
            case _:
                inputs = [*(part for operand in operands for part in operand.triple), *after]
                kernel = f"QLinear{_PRODUCT.get(op.type, op.type)}"
                emitter.add(kernel, inputs, outputs, op.id, domain=MICROSOFT, attributes=attributes)


def _without_factors(node: NodeProto) -> list[AttributeProto]:
    """Attributes of a quantized node: alpha and beta of a Gemm lie in the weight's scale and the bias."""
    return [a for a in node.attribute if node.op_type != "Gemm" or a.name not in ("alpha", "beta")]
