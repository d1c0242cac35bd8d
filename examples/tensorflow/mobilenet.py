"""MobileNetV2 (Sandler et al. 2018) in Keras 3."""

from __future__ import annotations

from typing import Any

import keras

# Expansion, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_STEM, _LAST = 32, 1280


def mobilenet_v2(side: int, num_classes: int = 10, channels: int = 1) -> Any:
    """``float32 [n, side, side, channels]`` to ``[n, num_classes]`` scores; random weights."""
    image = keras.Input((side, side, channels), name="image")
    x = _relu6(_norm(_conv(image, _STEM, 3, 2, "stem"), "stem"), "stem")
    for stage, (expansion, width, blocks, stride) in enumerate(_STAGES):
        for block in range(blocks):
            x = _block(x, width, stride if block == 0 else 1, expansion, f"stage{stage + 1}_block{block + 1}")
    x = _relu6(_norm(_conv(x, _LAST, 1, 1, "last"), "last"), "last")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(image, keras.layers.Dense(num_classes, name="logits")(x), name="mobilenet_v2")


def _block(x: Any, width: int, stride: int, expansion: int, name: str) -> Any:
    """Expand, depthwise convolution, project without activation; a shortcut where shapes allow it."""
    y = x
    if expansion != 1:
        y = _conv(y, expansion * x.shape[-1], 1, 1, f"{name}_expand")
        y = _relu6(_norm(y, f"{name}_expand"), f"{name}_expand")
    y = keras.layers.DepthwiseConv2D(
        3, stride, padding="same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}_depthwise"
    )(y)
    y = _relu6(_norm(y, f"{name}_depthwise"), f"{name}_depthwise")
    has_shortcut = stride == 1 and x.shape[-1] == width
    # Blocks start as identities (Goyal et al. 2017): the first steps learn much faster.
    y = _norm(_conv(y, width, 1, 1, f"{name}_project"), f"{name}_project", "zeros" if has_shortcut else "ones")
    return keras.layers.Add(name=f"{name}_add")([x, y]) if has_shortcut else y


def _conv(x: Any, width: int, kernel: int, stride: int, name: str) -> Any:
    return keras.layers.Conv2D(
        width, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _norm(x: Any, name: str, gamma: str = "ones") -> Any:
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_bn")(x)


def _relu6(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=f"{name}_relu6")(x)
