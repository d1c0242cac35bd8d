"""Small Keras models of the kinds that matter, untrained but with statistics as if they were, and their data."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import Graph
from autoq.adaptors.tensorflow.passes import fold
from autoq.adaptors.tensorflow.reading import read
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource

keras = tf.keras

PICTURE = (16, 16, 3)
TOKENS, WIDTH = 6, 16


def small_cnn(seed: int = 0, classes: int = 5) -> Any:
    """Convolution, depthwise block, residual sum, pooling and a dense layer; BatchNorm and ReLU6 as MobileNetV2 has."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    image = keras.Input(PICTURE, name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = first = layers.ReLU(max_value=6.0, name="stem_relu")(x)
    x = layers.Conv2D(16, 1, use_bias=False, name="expand")(x)
    x = layers.BatchNormalization(name="expand_bn")(x)
    x = layers.ReLU(max_value=6.0, name="expand_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_bn")(x)
    x = layers.ReLU(max_value=6.0, name="depthwise_relu")(x)
    x = layers.Conv2D(8, 1, use_bias=False, name="project")(x)
    x = layers.BatchNormalization(name="project_bn")(x)
    x = layers.Add(name="residual")([first, x])
    x = layers.Conv2D(12, 3, padding="same", name="block")(x)
    x = layers.ReLU(name="block_relu")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    scores = layers.Dense(classes, name="scores")(x)
    return trained(keras.Model(image, scores, name="small_cnn"), seed)


def small_resnet(seed: int = 0, classes: int = 5) -> Any:
    """Residual blocks of ResNet's kind, one with a down-sampling branch, whose sums end in a ReLU."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)

    def conv_bn(x: Any, filters: int, kernel: int, strides: int, name: str) -> Any:
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(name=f"{name}_bn")(x)

    image = keras.Input(PICTURE, name="image")
    x = layers.ReLU(name="stem_relu")(conv_bn(image, 8, 3, 1, "stem"))
    for block, (filters, strides) in enumerate([(8, 1), (16, 2)]):
        shortcut = x if strides == 1 else conv_bn(x, filters, 1, strides, f"block{block}_down")
        y = layers.ReLU(name=f"block{block}_relu1")(conv_bn(x, filters, 3, strides, f"block{block}_conv1"))
        y = conv_bn(y, filters, 3, 1, f"block{block}_conv2")
        x = layers.ReLU(name=f"block{block}_relu2")(layers.Add(name=f"block{block}_add")([shortcut, y]))
    x = layers.GlobalAveragePooling2D(name="average")(x)
    scores = layers.Dense(classes, name="scores")(x)
    return trained(keras.Model(image, scores, name="small_resnet"), seed)


def small_transformer(seed: int = 0, classes: int = 5) -> Any:
    """One encoder block on embedded tokens: attention, LayerNorm, a dense pair with GELU, and a classifier."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    tokens = keras.Input((TOKENS, WIDTH), name="tokens")
    x = layers.MultiHeadAttention(2, WIDTH // 2, name="attention")(tokens, tokens)
    x = block = layers.LayerNormalization(name="norm1")(layers.Add(name="sum1")([tokens, x]))
    x = layers.Dense(4 * WIDTH, activation="gelu", name="up")(x)
    x = layers.Dense(WIDTH, name="down")(x)
    x = layers.LayerNormalization(name="norm2")(layers.Add(name="sum2")([block, x]))
    x = layers.GlobalAveragePooling1D(name="average")(x)
    scores = layers.Dense(classes, name="scores")(x)
    return trained(keras.Model(tokens, scores, name="small_transformer"), seed)


def small_mlp(seed: int = 0, classes: int = 5) -> Any:
    """Dense layers with a ReLU and a tanh: the smallest model there is something to quantize in."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    features = keras.Input((WIDTH,), name="features")
    x = layers.Dense(32, activation="relu", name="hidden1")(features)
    x = layers.Dense(32, activation="tanh", name="hidden2")(x)
    scores = layers.Dense(classes, name="scores")(x)
    return trained(keras.Model(features, scores, name="small_mlp"), seed)


def trained(model: Any, seed: int) -> Any:
    """Give every BatchNorm statistics and every bias a value, so that a pass that drops one is seen."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(random.uniform(0.5, 1.5, shape))
        elif weight.path.endswith(("moving_mean", "beta", "bias")):
            weight.assign(random.normal(0, 0.2, shape))
    return model


def pictures(samples: int = 8, seed: int = 1) -> np.ndarray:
    """``[samples, 16, 16, 3]``, normal."""
    return np.random.default_rng(seed).normal(size=(samples, *PICTURE)).astype(np.float32)


def sequences(samples: int = 8, seed: int = 1) -> np.ndarray:
    """``[samples, tokens, width]``, normal."""
    return np.random.default_rng(seed).normal(size=(samples, TOKENS, WIDTH)).astype(np.float32)


def features(samples: int = 8, seed: int = 1) -> np.ndarray:
    """``[samples, width]``, normal."""
    return np.random.default_rng(seed).normal(size=(samples, WIDTH)).astype(np.float32)


def freeze(model: Any, **source: Any) -> Frozen:
    """A model as the adaptor reads it."""
    return read(ModelSource(model, **source))


def folded(model: Any) -> Graph:
    """A model as the adaptor searches it for ops."""
    return fold(freeze(model))


def run(proto: Any, fed: dict[str, np.ndarray], fetched: tuple[str, ...]) -> list[np.ndarray]:
    """Run a graph on one thread, without grappler; tensors by name."""
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(proto, name="")
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        return list(session.run(list(fetched), fed))
