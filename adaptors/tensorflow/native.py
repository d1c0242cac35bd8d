"""What a user of TensorFlow holds: a function called like the model's signature."""

from __future__ import annotations

from typing import Any

from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.graph import GraphDef
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.batch import TensorSpec


class SignatureFunction:
    """A graph as a function of its inputs, in order or by name; NumPy arrays and TensorFlow tensors alike.

    Gives tensors by output name, as a signature of a SavedModel does.

    Args:
        proto: The graph.
        frozen: Names of its inputs and outputs, and their tensors.
    """

    def __init__(self, proto: GraphDef, frozen: Frozen) -> None:
        self.inputs: tuple[TensorSpec, ...] = frozen.inputs
        self.outputs: tuple[TensorSpec, ...] = frozen.outputs
        wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(proto, name=""), [])
        graph = wrapped.graph
        self._function: Any = wrapped.prune(
            [graph.get_tensor_by_name(name) for name in frozen.input_tensors],
            [graph.get_tensor_by_name(name) for name in frozen.output_tensors],
        )

    def __call__(self, *inputs: Any, **named: Any) -> dict[str, Any]:
        """Outputs by name.

        Raises:
            TypeError: Too many inputs, one that is missing, or a name the model does not have.
        """
        names = [spec.name for spec in self.inputs]
        if len(inputs) > len(names):
            raise TypeError(f"the model takes {len(names)} inputs, not {len(inputs)}: {', '.join(names)}")
        given = {**dict(zip(names, inputs, strict=False)), **named}
        odd = next((name for name in (*given, *names) if name not in names or name not in given), None)
        if odd is not None:
            raise TypeError(f"wrong input '{odd}': the model takes {', '.join(names)}")
        tensors = [tf.convert_to_tensor(given[spec.name], dtype=spec.dtype) for spec in self.inputs]
        results = self._function(*tensors)
        return {spec.name: result for spec, result in zip(self.outputs, results, strict=True)}
