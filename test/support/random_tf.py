"""Random small TensorFlow graphs from the shapes real models have: residual sums, pools, branches, several outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autoq.adaptors.tensorflow.runtime import tf

Array = np.ndarray[Any, Any]
raw = tf.raw_ops


def random_graph(seed: int) -> tuple[Any, list[str], Array, str]:
    """The graph of a seed, names of its outputs, data for its input ``x`` and a description."""
    return _Builder(np.random.default_rng(seed)).build()


class _Builder:
    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.tensors: list[Any] = []
        self.told: list[str] = []

    def build(self) -> tuple[Any, list[str], Array, str]:
        random = self.random
        size, channels = (int(random.integers(5, 13)), int(random.integers(5, 13))), int(random.choice([1, 3, 4, 8]))
        known = random.random()
        batch = None if random.random() < 0.7 else 4
        open_sizes = (None, None) if known < 0.15 else size
        shape = (batch, *open_sizes, channels)
        data = random.standard_normal((4, *size, channels)).astype(np.float32)
        if random.random() < 0.4:
            data = np.abs(data)
        graph = tf.Graph()
        with graph.as_default():
            x = tf.compat.v1.placeholder(tf.float32, shape, name="x")
            self.tensors.append(x)
            self.told.append(f"x{shape}")
            for _ in range(int(random.integers(3, 14))):
                self._step()
            last = self.tensors[-1]
            if random.random() < 0.6:
                last = self._head(last)
            outputs = [last]
            for tensor in self.tensors[1:-1]:
                if random.random() < 0.12:
                    outputs.append(tensor)
            names = []
            for number, tensor in enumerate(outputs):
                # Some outputs are the intermediate tensors themselves, others get a name of their own.
                kept = random.random() < 0.5 and tensor.op.type != "Placeholder"
                named = tensor if kept else tf.identity(tensor, name=f"out{number}")
                names.append(named.name)
        return graph.as_graph_def(), list(dict.fromkeys(names)), data, "; ".join([*self.told, f"outputs {names}"])

    # -- steps --------------------------------------------------------------------------------------------------

    def _pick(self) -> Any:
        back = min(int(self.random.geometric(0.6)), len(self.tensors))
        return self.tensors[-back]

    def _step(self) -> None:
        steps: list[tuple[Callable[[Any], Any], int]] = [
            (self._conv, 6),
            (self._depthwise, 4),
            (self._residual, 6),
            (self._add, 3),
            (self._pool, 3),
            (self._concat, 2),
            (self._activation, 2),
            (self._norm, 1),
            (self._pad, 1),
            (self._pointless, 1),
        ]
        weights = np.asarray([w for _, w in steps], float)
        step = steps[int(self.random.choice(len(steps), p=weights / weights.sum()))][0]
        source = self._pick()
        made = step(source)
        if made is not None:
            self.told.append(f"{made.op.name} = {step.__name__}({source.op.name})")
            self.tensors.append(made)

    def _kernel(self, x: Any, padding: str, stride: int, dilation: int) -> tuple[int, int] | None:
        sizes = [int(k) for k in self.random.choice([1, 2, 3, 3, 3, 5, 7], 2)]
        if self.random.random() < 0.7:
            sizes[1] = sizes[0]
        if padding == "VALID":
            for axis, k in enumerate(sizes):
                have = x.shape[axis + 1]
                if have is None or (k - 1) * dilation + 1 > have:
                    sizes[axis] = 1
        return sizes[0], sizes[1]

    def _geometry(self, x: Any) -> tuple[tuple[int, int], dict[str, Any]]:
        random = self.random
        padding = str(random.choice(["SAME", "SAME", "SAME", "VALID", "EXPLICIT"]))
        stride = int(random.choice([1, 1, 1, 2]))
        dilation = int(random.choice([1, 1, 1, 1, 2])) if stride == 1 else 1
        kernel = self._kernel(x, padding, stride, dilation)
        assert kernel is not None
        attributes: dict[str, Any] = {
            "strides": [1, stride, stride, 1],
            "padding": padding,
            "dilations": [1, dilation, dilation, 1],
        }
        if padding == "EXPLICIT":
            border = [int(v) for v in random.integers(0, 3, 4)]
            for axis in range(2):
                have, k = x.shape[axis + 1], (kernel[axis] - 1) * dilation + 1
                lack = k - (have if have is not None else 1)
                if lack > 0:
                    border[2 * axis] += lack
            attributes["explicit_paddings"] = [0, 0, *border, 0, 0]
        return kernel, attributes

    def _weight(self, *shape: int, fan: int) -> Any:
        values = self.random.standard_normal(shape) / np.sqrt(fan)
        if self.random.random() < 0.3:
            values = values * self.random.uniform(0.05, 3.0, shape[-1])
        return values.astype(np.float32)

    def _finish(self, y: Any) -> Any:
        random = self.random
        channels = int(y.shape[-1])
        if random.random() < 0.5:
            y = tf.nn.bias_add(y, random.normal(0, 0.5, channels).astype(np.float32))
        if random.random() < 0.3:
            y = self._norm(y)
        return self._activate(y) if random.random() < 0.6 else y

    def _conv(self, x: Any, filters: int | None = None) -> Any:
        kernel, attributes = self._geometry(x)
        inputs = int(x.shape[-1])
        groups = 2 if inputs % 2 == 0 and self.random.random() < 0.05 else 1
        count = filters or int(self.random.choice([1, 2, 4, 6, 8, 16]))
        if groups == 2:
            count += count % 2
        weight = self._weight(*kernel, inputs // groups, count, fan=kernel[0] * kernel[1] * inputs // groups)
        if self.random.random() < 0.2:
            attributes = self._head_pad(attributes)
        if "head" in attributes:
            x = tf.pad(x, attributes.pop("head"))
        return self._finish(raw.Conv2D(input=x, filter=weight, **attributes))

    def _head_pad(self, attributes: dict[str, Any]) -> dict[str, Any]:
        if attributes["padding"] != "EXPLICIT":
            return attributes
        sizes = attributes["explicit_paddings"]
        kept = {k: v for k, v in attributes.items() if k != "explicit_paddings"}
        return {**kept, "padding": "VALID", "head": [[0, 0], sizes[2:4], sizes[4:6], [0, 0]]}

    def _depthwise(self, x: Any) -> Any:
        kernel, attributes = self._geometry(x)
        multiplier = int(self.random.choice([1, 1, 1, 2]))
        weight = self._weight(*kernel, int(x.shape[-1]), multiplier, fan=kernel[0] * kernel[1])
        return self._finish(raw.DepthwiseConv2dNative(input=x, filter=weight, **attributes))

    def _residual(self, x: Any) -> Any:
        """``f(x) + x``, ``f(x) + g(x)``, ``f(x) + h`` of an older tensor of that shape."""
        channels, random = int(x.shape[-1]), self.random
        y = raw.Conv2D(
            input=x, filter=self._weight(3, 3, channels, channels, fan=9 * channels), strides=[1] * 4, padding="SAME"
        )
        if random.random() < 0.7:
            y = tf.nn.bias_add(y, random.normal(0, 0.5, channels).astype(np.float32))
        if random.random() < 0.2:
            y = tf.nn.relu(y)
        alike = [t for t in self.tensors if t.shape.as_list() == x.shape.as_list()]
        other = alike[int(random.integers(len(alike)))] if alike and random.random() < 0.5 else x
        if random.random() < 0.25:
            other = raw.Conv2D(
                input=x, filter=self._weight(1, 1, channels, channels, fan=channels), strides=[1] * 4, padding="SAME"
            )
        made = y + other if random.random() < 0.5 else other + y
        if random.random() < 0.3:
            self.tensors.append(made)
        if random.random() < 0.6:
            made = self._activate(made)
        return made

    def _add(self, x: Any) -> Any:
        alike = [t for t in self.tensors if t.shape.as_list() == x.shape.as_list()]
        return x + alike[int(self.random.integers(len(alike)))]

    def _pool(self, x: Any) -> Any:
        window, stride = int(self.random.choice([2, 3])), int(self.random.choice([1, 2]))
        padding = str(self.random.choice(["SAME", "VALID"]))
        if None in x.shape.as_list()[1:] or min(x.shape.as_list()[1:3]) < window:
            padding = "SAME"
        pool = tf.nn.max_pool2d if self.random.random() < 0.5 else tf.nn.avg_pool2d
        return pool(x, window, stride, padding)

    def _concat(self, x: Any) -> Any:
        alike = [t for t in self.tensors if t.shape.as_list()[:3] == x.shape.as_list()[:3] and t.shape[-1] <= 16]
        if len(alike) < 1 or x.shape[-1] > 16:
            return None
        others = [alike[int(i)] for i in self.random.integers(len(alike), size=int(self.random.integers(1, 3)))]
        return tf.concat([x, *others], 3)

    def _activation(self, x: Any) -> Any:
        return self._activate(x)

    def _activate(self, x: Any) -> Any:
        kinds = (tf.nn.relu, tf.nn.relu, tf.nn.relu, tf.nn.relu6, tf.nn.relu6, tf.nn.silu, tf.nn.gelu, tf.nn.leaky_relu)
        kinds += (tf.sigmoid, tf.nn.elu)
        return kinds[int(self.random.integers(len(kinds)))](x)

    def _norm(self, x: Any) -> Any:
        channels, random = int(x.shape[-1]), self.random
        scale, shift = random.uniform(0.3, 2, channels), random.normal(0, 0.5, channels)
        if random.random() < 0.3:
            scale[0] = -scale[0]
        if random.random() < 0.5:
            return x * scale.astype(np.float32) + shift.astype(np.float32)
        mean, variance = random.normal(0, 0.2, channels), random.uniform(0.5, 2, channels)
        parts = [v.astype(np.float32) for v in (scale, shift, mean, variance)]
        return tf.compat.v1.nn.fused_batch_norm(x, *parts, is_training=False)[0]

    def _pad(self, x: Any) -> Any:
        sizes = [int(v) for v in self.random.integers(0, 3, 4)]
        return tf.pad(x, [[0, 0], sizes[:2], sizes[2:], [0, 0]])

    def _pointless(self, x: Any) -> Any:
        choice = int(self.random.integers(5))
        if choice == 0:
            return tf.identity(x)
        if choice == 1:
            return tf.transpose(x, [0, 2, 1, 3])
        if choice == 2 and None not in x.shape.as_list()[1:]:
            h, w, c = x.shape.as_list()[1:]
            return tf.reshape(tf.reshape(x, [-1, h * w, c]), [-1, h, w, c])
        if choice == 3 and None not in x.shape.as_list()[1:3]:
            return tf.compat.v1.image.resize_nearest_neighbor(x, [v * 2 for v in x.shape.as_list()[1:3]])
        return x[:, :, :, : max(int(x.shape[-1]) // 2, 1)]

    # -- head ---------------------------------------------------------------------------------------------------

    def _head(self, x: Any) -> Any:
        random, known = self.random, None not in x.shape.as_list()[1:]
        if known and random.random() < 0.4:
            y = tf.reshape(x, [-1, int(np.prod(x.shape.as_list()[1:]))])
        else:
            y = tf.reduce_mean(x, [1, 2], keepdims=bool(random.random() < 0.2))
            if len(y.shape) == 4:
                y = tf.reshape(y, [-1, int(x.shape[-1])])
        for _ in range(int(random.integers(1, 3))):
            width = int(random.choice([1, 5, 16]))
            weight = self._weight(int(y.shape[-1]), width, fan=int(y.shape[-1]))
            y = tf.matmul(y, weight.T.copy(), transpose_b=True) if random.random() < 0.2 else tf.matmul(y, weight)
            if random.random() < 0.7:
                y = tf.nn.bias_add(y, random.normal(0, 0.5, width).astype(np.float32))
            kinds = (tf.identity, tf.nn.relu, tf.tanh, tf.nn.gelu, tf.nn.relu6, tf.sigmoid, tf.nn.softmax)
            y = kinds[int(random.integers(len(kinds)))](y)
            self.told.append(f"{y.op.name} = dense")
        return y
