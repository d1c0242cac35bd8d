"""A transformer encoder (Vaswani et al. 2017) that classifies sentences, in Keras 3."""

from __future__ import annotations

from typing import Any

import keras

from examples.pytorch.sentences import LENGTH, PADDING, VOCABULARY

_WIDTH, _HEADS, _BLOCKS = 128, 4, 2
_FAR = -1e9


def text(num_classes: int = 2) -> Any:
    """Token ids ``int32 [n, 32]``, padded with 0 at the end, to ``[n, num_classes]`` scores; random weights."""
    ids = keras.Input((LENGTH,), dtype="int32", name="input_ids")
    real = keras.ops.cast(keras.ops.not_equal(ids, PADDING), "float32")
    places = keras.ops.cumsum(keras.ops.ones_like(ids), axis=1) - 1
    x = keras.layers.Embedding(VOCABULARY, _WIDTH, name="words")(ids)
    x = x + keras.layers.Embedding(LENGTH, _WIDTH, name="places")(places)
    x = keras.layers.Dropout(0.3, name="words_dropout")(x)
    bias = ((1.0 - real) * _FAR)[:, None, None, :]
    for block in range(_BLOCKS):
        x = x + _attention(_norm(x, f"block{block + 1}_norm1"), bias, f"block{block + 1}")
        x = x + _feed_forward(_norm(x, f"block{block + 1}_norm2"), f"block{block + 1}")
    x = _norm(x, "norm") * real[..., None]
    mean = keras.ops.sum(x, axis=1) / keras.ops.maximum(keras.ops.sum(real, axis=1, keepdims=True), 1.0)
    mean = keras.layers.Dropout(0.3, name="mean_dropout")(mean)
    return keras.Model(ids, keras.layers.Dense(num_classes, name="logits")(mean), name="text")


def _attention(x: Any, bias: Any, name: str) -> Any:
    """Scaled dot products of all pairs of words; `bias` keeps padding out."""

    def heads(part: str) -> Any:
        split = keras.layers.Dense(_WIDTH, name=f"{name}_{part}")(x)
        split = keras.layers.Reshape((LENGTH, _HEADS, _WIDTH // _HEADS), name=f"{name}_{part}_heads")(split)
        return keras.layers.Permute((2, 1, 3), name=f"{name}_{part}_permuted")(split)

    query, key, value = heads("query"), heads("key"), heads("value")
    scores = keras.ops.matmul(query, keras.ops.transpose(key, (0, 1, 3, 2))) * (_WIDTH // _HEADS) ** -0.5
    mixed = keras.ops.matmul(keras.ops.softmax(scores + bias), value)
    mixed = keras.layers.Permute((2, 1, 3), name=f"{name}_merged")(mixed)
    return keras.layers.Dense(_WIDTH, name=f"{name}_out")(keras.layers.Reshape((LENGTH, _WIDTH))(mixed))


def _feed_forward(x: Any, name: str) -> Any:
    x = keras.layers.Dense(4 * _WIDTH, activation="gelu", name=f"{name}_up")(x)
    return keras.layers.Dense(_WIDTH, name=f"{name}_down")(x)


def _norm(x: Any, name: str) -> Any:
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name)(x)
