"""A small convolutional network with a residual sum, in Keras 3."""

from __future__ import annotations

from typing import Any

import keras

_WIDTH = 24


def classifier(side: int, num_classes: int = 10, channels: int = 1) -> Any:
    """``float32 [n, side, side, channels]`` to ``[n, num_classes]`` scores; random weights."""
    image = keras.Input((side, side, channels), name="image")
    x = _conv(image, _WIDTH, "stem", stride=2)
    y = _conv(x, _WIDTH, "block_conv1")
    y = _conv(y, _WIDTH, "block_conv2", relu=False)
    x = keras.layers.ReLU(name="block_relu")(keras.layers.Add(name="block_add")([x, y]))
    x = _conv(x, 2 * _WIDTH, "wide")
    x = keras.layers.MaxPooling2D(2, name="max_pool")(x)
    x = _conv(x, 4 * _WIDTH, "wider")
    x = keras.layers.GlobalAveragePooling2D(name="mean_pool")(x)
    x = keras.layers.Dense(64, activation="relu", name="hidden")(x)
    return keras.Model(image, keras.layers.Dense(num_classes, name="logits")(x), name="classifier")


def _conv(x: Any, width: int, name: str, *, stride: int = 1, relu: bool = True) -> Any:
    x = keras.layers.Conv2D(width, 3, stride, padding="same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x
