"""Keras models, of Keras 3 and of tf_keras, as objects and as files."""

from __future__ import annotations

from typing import Any

from autoq.adaptors.tensorflow.freeze import freeze
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.runtime import tf

SIGNATURE = "serving_default"


def read_keras(model: Any, origin: str) -> Frozen:
    """Freeze a Keras model's inference, whatever its batch size."""
    inputs = model.inputs
    names = [tensor.name.partition(":")[0] for tensor in inputs]

    def inference(*args: Any) -> list[Any]:
        given = (
            tf.nest.pack_sequence_as(model.input, list(args))
            if not hasattr(model, "_inputs_struct")
            else (tf.nest.pack_sequence_as(model._inputs_struct, list(args)))
        )
        return list(tf.nest.flatten(model(given, training=False)))

    specs = [tf.TensorSpec(t.shape, t.dtype, name=name) for name, t in zip(names, inputs, strict=True)]
    concrete = tf.function(inference, autograph=False).get_concrete_function(*specs)
    return freeze(concrete, names, list(model.output_names), SIGNATURE, origin)
