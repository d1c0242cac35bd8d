"""The 8-bit kernels autoq writes, and the nodes they are written as.

oneDNN's kernels take device inputs (tensors) and host inputs (ranges), and a list of what is fused. Lists that they do
not know are refused, ignored, or end the process; so every form is listed here, and `verify` runs each once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoq.adaptors.tensorflow.emit import FLOAT, Attribute, Emitter, Stored
from autoq.adaptors.tensorflow.ranges import Grid
from autoq.adaptors.tensorflow.runtime import tf

CONV, DEPTHWISE, MATMUL = "_FusedQuantizedConv2D", "_FusedQuantizedDepthwiseConv2D", "_QuantizedMatMul"
MAX_POOL, AVERAGE_POOL = "QuantizedMaxPool", "QuantizedAvgPool"

_TYPES = {"quint8": tf.quint8, "qint8": tf.qint8, "float": tf.float32}


@dataclass(frozen=True, order=True)
class Form:
    """One kernel in one form.

    Attributes:
        kernel: TensorFlow's name of the op.
        reads: Type of its input, ``quint8`` or ``qint8``.
        fused: What it does besides, in order; empty for pools.
        writes: Type of its output, ``quint8``, ``qint8`` or ``float``.
        dilated: Whether its window has gaps.
    """

    kernel: str
    reads: str
    fused: tuple[str, ...]
    writes: str
    dilated: bool = False

    @property
    def label(self) -> str:
        """E.g. ``_FusedQuantizedConv2D quint8 BiasAdd+Relu+Requantize quint8``."""
        parts = (self.kernel, self.reads, "+".join(self.fused), self.writes, "dilated" if self.dilated else "")
        return " ".join(filter(None, parts))


_FORMS_OF_BYTES = ("quint8", "qint8")


def convolution_forms(kernel: str, *, relu: bool, summed: bool, dilated: bool) -> tuple[Form, ...]:
    """Every form that some plan writes a convolution in.

    Args:
        kernel: Of a plain or a depthwise convolution.
        relu: It ends with Relu or Relu6.
        summed: It does a residual sum.
        dilated: Its window has gaps.
    """
    tails: list[tuple[tuple[str, ...], str]]
    if summed:
        tails = [(("BiasAdd", "Sum", "Relu", "Requantize"), "quint8")]
    else:
        signed = ("BiasAdd", "Relu", "Requantize") if relu else ("BiasAdd", "Requantize")
        tails = [(("BiasAdd", "Relu", "Requantize"), "quint8"), (signed, "qint8")]
    return tuple(Form(kernel, reads, *tail, dilated) for reads in _FORMS_OF_BYTES for tail in tails)


def product_forms(activation: str) -> tuple[Form, ...]:
    """Every form that some plan writes a matrix product in that ends with an activation."""
    in_float = () if activation in ("", "Relu6") else (activation,)
    parts = ("Relu",) if activation == "Relu6" else in_float
    tails = [
        (("BiasAdd", *in_float, "Dequantize"), "float"),
        (("BiasAdd", *(parts or ("Relu",)), "Requantize"), "quint8"),
        (("BiasAdd", *parts, "Requantize"), "qint8"),
    ]
    return tuple(Form(MATMUL, reads, *tail) for reads in _FORMS_OF_BYTES for tail in tails)


def pool_forms(kernel: str) -> tuple[Form, ...]:
    """Both forms of a pool."""
    return tuple(Form(kernel, kind, (), kind) for kind in _FORMS_OF_BYTES)


def all_forms() -> tuple[Form, ...]:
    """Every form that any plan is written with."""
    found: dict[Form, None] = {}
    for kernel in (CONV, DEPTHWISE):
        for dilated in (False, True):
            for relu, summed in ((False, False), (True, False), (True, True)):
                found |= dict.fromkeys(convolution_forms(kernel, relu=relu, summed=summed, dilated=dilated))
    for activation in ("", "Relu", "Relu6", "Tanh", "Sigmoid", "GeluExact", "GeluApproximate"):
        found |= dict.fromkeys(product_forms(activation))
    for kernel in (MAX_POOL, AVERAGE_POOL):
        found |= dict.fromkeys(pool_forms(kernel))
    return tuple(found)


@dataclass(frozen=True)
class Weight:
    """Names of a weight's constants, and its type's range.

    Attributes:
        values: The ``qint8`` tensor.
        low: Least value that the grid of a channel reaches.
        high: Greatest.
    """

    values: str
    low: str
    high: str


def fused_node(
    emitter: Emitter,
    name: str,
    form: Form,
    operand: Stored,
    weight: Weight,
    bias: str,
    result: Grid | None,
    attributes: Mapping[str, Attribute],
    summand: Stored | None = None,
) -> str:
    """Write a convolution or a matrix product in 8 bits.

    Args:
        emitter: Where to.
        name: Of the node.
        form: The kernel's form.
        operand: What it reads.
        weight: Its weight.
        bias: Its bias, ``float [channels]``.
        result: Grid of its result; None for a float result.
        attributes: Of the convolution: strides, padding, dilations.
        summand: Unsigned tensor that it adds.
    """
    device = [(operand.name, operand.type), (weight.values, tf.qint8), (bias, FLOAT)]
    host = [*_span(emitter, operand.grid), weight.low, weight.high]
    if summand is not None:
        device.append((summand.name, summand.type))
        host += _span(emitter, summand.grid)
    if result is not None:
        host += _span(emitter, result)
    written = _TYPES[form.writes]
    common: dict[str, Attribute] = {
        "Tbias": FLOAT,
        "Tdevice_inputs": [kind for _, kind in device],
        "Thost_inputs": [FLOAT] * len(host),
        "Tdevice_outputs": [written],
        "Thost_outputs": [] if result is None else [FLOAT, FLOAT],
        "fused_ops": [part.encode() for part in form.fused],
    }
    if form.kernel == MATMUL:
        common |= {"T1": operand.type, "T2": tf.qint8, "U": FLOAT, "Tout": written}
        common |= {"input_quant_mode": b"SCALED", "output_quant_mode": b"SCALED"}
    else:
        common |= {"Tinput": operand.type, "Tfilter": tf.qint8, "Tsummand": written, "out_type": written}
    inputs = [tensor for tensor, _ in device] + host
    return emitter.add(form.kernel, name, inputs, {**common, **attributes})


def pool_node(emitter: Emitter, name: str, form: Form, operand: Stored, attributes: Mapping[str, Attribute]) -> str:
    """Write a pool in 8 bits; its result lies on the grid of its operand."""
    inputs = [operand.name, *_span(emitter, operand.grid)]
    return emitter.add(form.kernel, name, inputs, {"T": operand.type, **attributes})


def _span(emitter: Emitter, grid: Grid) -> Sequence[str]:
    low, high = grid.span
    return emitter.number(low), emitter.number(high)
