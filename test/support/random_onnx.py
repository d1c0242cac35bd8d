"""Random small ONNX models from the shapes real exports have: shared weights, optional inputs, several outputs..."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
BATCH = 2
OPSETS = (11, 12, 13, 17, 19, 21, 22)


@dataclass(frozen=True)
class RandomModel:
    """A model and inputs for it.

    Attributes:
        proto: The model.
        feeds: Batches of `BATCH` rows.
    """

    proto: ModelProto
    feeds: Sequence[Mapping[str, Array]]


def random_model(seed: int) -> RandomModel:
    """The model of a seed: 3 to 12 steps on images, signals, volumes or rows."""
    return _Builder(np.random.default_rng(seed)).build()


class _Builder:
    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.opset = int(random.choice(OPSETS))
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.inputs: list[Any] = []
        self.feeds: list[dict[str, Array]] = [{} for _ in range(4)]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.weights: dict[tuple[int, ...], list[str]] = {}
        self.named = random.random() < 0.8
        self.symbolic = random.random() < 0.5

    def build(self) -> RandomModel:
        rank = int(self.random.choice([0, 1, 2, 2, 2, 3]))
        shape = (6, 12) if not rank else (4, *[int(self.random.integers(5, 9))] * rank)
        self.add_input("x", shape)
        if self.random.random() < 0.2:
            self.add_input("y", shape)
        for _ in range(int(self.random.integers(3, 13))):
            self.step()
        if not any(n.op_type in ("Conv", "MatMul", "Gemm") for n in self.nodes):
            self.matmul(self.pick())
        made = [name for node in self.nodes for name in node.output if name]
        extra = [n for n in made[:-1] if n in self.shapes and self.random.random() < 0.15]
        outputs = [*dict.fromkeys([*extra, made[-1]])]
        values = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        if self.random.random() < 0.1 and self.constants:
            floats = [c for c in self.constants if c.data_type == TensorProto.FLOAT]
            constant = floats[int(self.random.integers(len(floats)))]
            values.append(helper.make_tensor_value_info(constant.name, TensorProto.FLOAT, list(constant.dims)))
        graph = helper.make_graph(self.nodes, "random", self.inputs, values, self.constants)
        imports = [helper.make_opsetid("", self.opset)]
        return RandomModel(helper.make_model(graph, opset_imports=imports, ir_version=8), self.feeds)

    # -- parts -------------------------------------------------------------------------------------------------

    def add_input(self, name: str, shape: Sequence[int]) -> None:
        batch: int | str = "n" if self.symbolic else BATCH
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape]))
        self.shapes[name] = (BATCH, *shape)
        for feed in self.feeds:
            feed[name] = self.random.standard_normal((BATCH, *shape)).astype(np.float32)

    def pick(self, rank: int | None = None) -> str:
        """A tensor, most often one of the latest."""
        names = [n for n, s in self.shapes.items() if rank is None or len(s) == rank]
        return names[max(len(names) - 1 - int(self.random.geometric(0.5) - 1), 0)]

    def constant(self, values: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weight(self, shape: tuple[int, ...], fan_in: int) -> str:
        """A new weight, or one of the same shape again."""
        known = self.weights.setdefault(shape, [])
        if known and self.random.random() < 0.4:
            return str(self.random.choice(known))
        known.append(self.constant(self.random.standard_normal(shape) / fan_in**0.5))
        return known[-1]

    def node(
        self, op_type: str, inputs: Sequence[str], shape: Sequence[int], outputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        names = list(outputs) or [f"t{len(self.nodes)}"]
        name = f"{op_type.lower()}_{len(self.nodes)}" if self.named else ""
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=name, **attributes))
        self.shapes[names[0]] = tuple(int(s) for s in shape)
        return names[0]

    def step(self) -> None:
        x = self.pick()
        spatial = len(self.shapes[x]) >= 3
        anything: list[Callable[[str], object]] = [
            self.activation,
            self.clip,
            self.elementwise,
            self.with_constant,
            self.concat,
            self.mover,
            self.conditional,
            self.softmax,
        ]
        weighted = [self.conv, self.conv, self.conv, self.pool] if spatial else [self.gemm, self.gemm]
        choices = [*anything, *weighted, self.matmul, self.matmul_of_two]
        choices[int(self.random.integers(len(choices)))](x)

    # -- steps -------------------------------------------------------------------------------------------------

    def conv(self, x: str) -> str:
        batch, channels, *size = self.shapes[x]
        rank = len(size)
        group = int(self.random.choice([g for g in (1, 1, 2, channels) if channels % g == 0]))
        wide = group * int(self.random.integers(1, 3)) if group > 1 else int(self.random.integers(2, 7))
        kernel = 3 if min(size) >= 3 and self.random.random() < 0.7 else 1
        inputs = [x, self.weight((wide, channels // group, *[kernel] * rank), channels // group * kernel**rank)]
        if self.random.random() < 0.6:
            inputs.append(self.constant(self.random.standard_normal(wide)))
        attributes: dict[str, Any] = {"group": group} if group > 1 else {}
        after = size
        match int(self.random.integers(4)):
            case 0:
                attributes |= {"pads": [kernel // 2] * (2 * rank)}
            case 1:
                attributes |= {"auto_pad": str(self.random.choice(["SAME_UPPER", "SAME_LOWER"])), "strides": [2] * rank}
                after = [-(-s // 2) for s in size]
            case 2:
                attributes |= {"auto_pad": "VALID"}
                after = [s - kernel + 1 for s in size]
            case _:
                after = [s - kernel + 1 for s in size]
        y = self.node("Conv", inputs, (batch, wide, *after), **attributes)
        return self.maybe_activated(y)

    def gemm(self, x: str) -> str:
        shape = self.shapes[x]
        if len(shape) != 2:
            x = self.node("Flatten", [x], (shape[0], int(np.prod(shape[1:]))))
        rows, deep = self.shapes[x]
        wide, flipped = int(self.random.choice([deep, 2, 8])) if deep < 40 else 8, int(self.random.integers(2))
        inputs = [x, self.weight((wide, deep) if flipped else (deep, wide), deep)]
        biases: list[tuple[int, ...] | None] = [None, (wide,), (1, wide), (1,), (), (1, 1)]
        if not self.symbolic:
            biases += [(rows, 1), (rows, wide)]
        bias = biases[int(self.random.integers(len(biases)))]
        attributes: dict[str, Any] = {"transB": flipped}
        if bias is not None:
            inputs.append(self.constant(self.random.standard_normal(bias)))
            attributes |= {"beta": float(self.random.choice([1.0, 0.5, -1.0]))}
        attributes |= {"alpha": float(self.random.choice([1.0, 0.5, -1.0]))}
        return self.maybe_activated(self.node("Gemm", inputs, (rows, wide), **attributes))

    def matmul(self, x: str) -> str:
        shape = self.shapes[x]
        deep = shape[-1]
        wide = int(self.random.choice([deep, 4, 8]))
        batched = (shape[-3],) if len(shape) >= 4 and self.random.random() < 0.3 else ()
        y = self.node("MatMul", [x, self.weight((*batched, deep, wide), deep)], (*shape[:-1], wide))
        if self.random.random() < 0.6:
            biases: list[tuple[int, ...]] = [(wide,), (1, wide), (1,), (shape[-2], 1), ()]
            bias = self.constant(self.random.standard_normal(biases[int(self.random.integers(len(biases)))]))
            y = self.node("Add", [y, bias] if self.random.random() < 0.5 else [bias, y], self.shapes[y])
        return self.maybe_activated(y)

    def matmul_of_two(self, x: str) -> str:
        shape = self.shapes[x]
        if len(shape) < 3:
            return self.matmul(x)
        order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        turned = self.node("Transpose", [x], [shape[i] for i in order], perm=order)
        product = self.node("MatMul", [x, turned], (*shape[:-1], shape[-2]))
        return self.node("Mul", [product, self.constant(1 / shape[-1])], self.shapes[product])

    def maybe_activated(self, x: str) -> str:
        match int(self.random.integers(4)):
            case 0:
                return self.node("Relu", [x], self.shapes[x])
            case 1:
                return self.clip(x)
            case _:
                return x

    def activation(self, x: str) -> str:
        kind = str(self.random.choice(["Relu", "Sigmoid", "LeakyRelu", "Tanh", "Identity"]))
        return self.node(kind, [x], self.shapes[x])

    def clip(self, x: str) -> str:
        bounds = [(0, 6), (-1, 1), (-0.5, 2), (0.1, 1), (-2, -0.1), (None, 1), (-1, None)]
        low, high = bounds[int(self.random.integers(len(bounds)))]
        inputs = [x, "" if low is None else self.constant(low), "" if high is None else self.constant(high)]
        return self.node("Clip", inputs, self.shapes[x])

    def softmax(self, x: str) -> str:
        axis = int(self.random.choice([-1, 1]))
        return self.node("Softmax", [x], self.shapes[x], axis=axis)

    def elementwise(self, x: str) -> str:
        same = [n for n, s in self.shapes.items() if s == self.shapes[x]]
        other = str(self.random.choice(same))
        kind = str(self.random.choice(["Add", "Add", "Mul", *(["Sub"] if other != x else [])]))
        return self.node(kind, [x, other], self.shapes[x])

    def with_constant(self, x: str) -> str:
        shape = self.shapes[x]
        shapes: list[tuple[int, ...]] = [(), (1,), (shape[1], *[1] * (len(shape) - 2)), (shape[-1],)]
        values = self.random.standard_normal(shapes[int(self.random.integers(4))])
        kind = str(self.random.choice(["Add", "Mul", "Div"]))
        if kind == "Div":
            values = np.sign(values) * (np.abs(values) + 0.5)
        flipped = kind != "Div" and self.random.random() < 0.5
        other = self.constant(values)
        return self.node(kind, [other, x] if flipped else [x, other], shape)

    def concat(self, x: str) -> str:
        same = [n for n, s in self.shapes.items() if s == self.shapes[x]]
        others = [str(self.random.choice(same)) for _ in range(int(self.random.integers(0, 3)))]
        shape = list(self.shapes[x])
        if shape[1] * (len(others) + 1) > 24:
            return self.activation(x)
        shape[1] *= len(others) + 1
        return self.node("Concat", [x, *others], shape, axis=1)

    def pool(self, x: str) -> str:
        batch, channels, *size = self.shapes[x]
        match int(self.random.integers(4)):
            case 0:
                return self.node("GlobalAveragePool", [x], (batch, channels, *[1] * len(size)))
            case 1 if min(size) >= 3:
                outputs = [f"t{len(self.nodes)}", *([f"i{len(self.nodes)}"] if self.random.random() < 0.3 else [])]
                after = [s - 1 for s in size]
                return self.node("MaxPool", [x], (batch, channels, *after), outputs, kernel_shape=[2] * len(size))
            case 2 if min(size) >= 3:
                around = {"kernel_shape": [3] * len(size), "pads": [1] * (2 * len(size))}
                included = int(self.random.integers(2))
                return self.node("AveragePool", [x], self.shapes[x], count_include_pad=included, **around)
            case _:
                return self.conv(x)

    def mover(self, x: str) -> str:
        shape = self.shapes[x]
        rank = len(shape)
        match int(self.random.integers(6)):
            case 0:
                order = [0, *reversed(range(1, rank))]
                return self.node("Transpose", [x], [shape[i] for i in order], perm=order)
            case 1:
                fill = self.constant(float(self.random.choice([0.0, 1.0, -20.0])))
                pads = [0] * (2 * rank)
                pads[rank - 1] = pads[-1] = 1
                return self.node("Pad", [x, self.constant(pads, np.int64), fill], (*shape[:-1], shape[-1] + 2))
            case 2 if shape[-1] > 1:
                ends = [self.constant([v], np.int64) for v in (0, shape[-1] - 1, -1)]
                return self.node("Slice", [x, *ends], (*shape[:-1], shape[-1] - 1))
            case 3:
                index = self.constant(list(range(shape[1]))[::-1], np.int64)
                return self.node("Gather", [x, index], shape, axis=1)
            case 4 if rank == 4 and self.opset >= 13:
                scales = self.constant([1, 1, 2, 2])
                return self.node("Resize", [x, "", scales], (*shape[:2], 2 * shape[2], 2 * shape[3]), mode="nearest")
            case _:
                to = self.constant([0, -1], np.int64) if rank > 2 else self.constant([0, 1, -1], np.int64)
                after = (shape[0], int(np.prod(shape[1:]))) if rank > 2 else (shape[0], 1, shape[1])
                return self.node("Reshape", [x, to], after)

    def conditional(self, x: str) -> str:
        """An If whose branches read tensors from outside."""
        number = len(self.nodes)
        always = f"always{number}"
        self.constants.append(numpy_helper.from_array(np.asarray(True), always))
        # Not foldable: it depends on an input.
        total = self.node("ReduceSum", [self.inputs[0].name], (), [f"sum{number}"], keepdims=0)
        del self.shapes[total]
        zero = self.constant(-1e6)
        self.nodes.append(helper.make_node("Greater", [total, zero], [f"positive{number}"], f"greater{number}"))
        branches: list[GraphProto] = []
        for kind in ("Neg", "Abs"):
            out = helper.make_tensor_value_info(f"{kind}{number}", TensorProto.FLOAT, None)
            inner = helper.make_node(kind, [x], [f"{kind}{number}"])
            branches.append(helper.make_graph([inner], kind, [], [out]))
        both = {"then_branch": branches[0], "else_branch": branches[1]}
        return self.node("If", [f"positive{number}"], self.shapes[x], **both)
