"""What a file describes, computed by LiteRT's reference kernels: one op at a time, with no delegate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from autoq.adaptors.tensorflow_lite.graph import graph_of, parse
from autoq.adaptors.tensorflow_lite.runtime import reason
from autoq.adaptors.tensorflow_lite.saving import interface_in, read
from autoq.adaptors.tensorflow_lite.session import checked, dequantized
from autoq.core.batch import Array, Inputs
from autoq.core.errors import AutoqError, TrialError
from autoq.core.quiet import silent_stderr


def reference_tensors(file: Path, tensors: Sequence[str], inputs: Inputs) -> Mapping[str, Array]:
    """Tensors and outputs of a file for one batch, as real numbers; what it does not have is left out.

    Args:
        file: The ``.tflite`` file.
        tensors: Names of tensors, or of outputs of its signature.
        inputs: One batch.

    Raises:
        TrialError: LiteRT failed.
    """
    content = read(file)
    failure: Exception | None = None
    try:
        interface, graph = interface_in(content, str(file)), graph_of(parse(content))
        fed = checked(inputs, interface)
    except AutoqError as error:
        raise TrialError(error.message, where=error.where) from error
    with silent_stderr():
        try:
            interpreter = Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
                experimental_preserve_all_tensors=True,
            )
            for spec, place in zip(interface.inputs, interface.fed, strict=True):
                interpreter.resize_tensor_input(graph.inputs[place], list(fed[spec.name].shape))
            interpreter.allocate_tensors()
            for spec, place in zip(interface.inputs, interface.fed, strict=True):
                interpreter.set_tensor(graph.inputs[place], fed[spec.name])
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            failure = error
    # Raised here, where standard error is whole again: the message holds what was printed.
    if failure is not None:
        raise TrialError(f"LiteRT's reference kernels failed: {reason(failure)}") from failure
    named = {s.name: graph.outputs[place] for s, place in zip(interface.outputs, interface.fetched, strict=True)}
    places = {name: named.get(name, graph.index_of.get(name)) for name in tensors}
    found = {}
    for name, index in places.items():
        if index is not None:
            tensor = graph.tensors[index]
            found[name] = dequantized(interpreter.get_tensor(index), tensor.scales, tensor.zero_points)
    return found
