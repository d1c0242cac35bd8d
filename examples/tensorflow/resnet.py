"""ResNet18 (He et al. 2015) in Keras 3."""

from __future__ import annotations

from typing import Any

import keras

_WIDTHS = (64, 128, 256, 512)
_BLOCKS = 2


def resnet18(side: int, num_classes: int = 10, channels: int = 1) -> Any:
    """``float32 [n, side, side, channels]`` to ``[n, num_classes]`` scores; random weights."""
    image = keras.Input((side, side, channels), name="image")
    x = _conv(image, 64, 7, 2, "stem")
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for stage, width in enumerate(_WIDTHS):
        for block in range(_BLOCKS):
            x = _block(x, width, 2 if stage > 0 and block == 0 else 1, f"stage{stage + 1}_block{block + 1}")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(num_classes, name="logits")(x), name="resnet18")


def _block(x: Any, width: int, stride: int, name: str) -> Any:
    """Two 3×3 convolutions around a shortcut."""
    y = keras.layers.ReLU(name=f"{name}_relu1")(_conv(x, width, 3, stride, f"{name}_conv1"))
    y = _conv(y, width, 3, 1, f"{name}_conv2", last=True)
    shortcut = x if stride == 1 and x.shape[-1] == width else _conv(x, width, 1, stride, f"{name}_shortcut")
    return keras.layers.ReLU(name=f"{name}_relu2")(keras.layers.Add(name=f"{name}_add")([y, shortcut]))


def _conv(x: Any, width: int, kernel: int, stride: int, name: str, *, last: bool = False) -> Any:
    x = keras.layers.Conv2D(
        width, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    # Blocks start as identities (Goyal et al. 2017): the first steps learn much faster.
    gamma = "zeros" if last else "ones"
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_bn")(x)
