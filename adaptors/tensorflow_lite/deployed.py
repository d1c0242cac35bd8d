"""LiteRT as the place where exported models run: what it executes in integers, and tensors inside."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoq.adaptors.tensorflow_lite.graph import Graph, graph_of, parse
from autoq.adaptors.tensorflow_lite.realized import precision_of
from autoq.adaptors.tensorflow_lite.runtime import make_interpreter, reason
from autoq.adaptors.tensorflow_lite.saving import interface_in, read
from autoq.adaptors.tensorflow_lite.session import Session, dequantized
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Array, Inputs
from autoq.core.deployment import Coverage
from autoq.core.errors import AutoqError, TrialError
from autoq.core.precision import Mode

_CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})


def coverage(file: Path, options: RunOptions) -> Coverage:
    """Which nodes of a file run on integers, by the name of the tensor each makes.

    Raises:
        TrialError: LiteRT cannot load it.
    """
    content = read(file)
    try:
        interpreter = make_interpreter(content, options.threads, keep_tensors=True)
        graph = graph_of(parse(content))
    except (ValueError, RuntimeError) as error:
        raise TrialError(f"LiteRT cannot load the exported model: {reason(error)}") from error
    quantized = [
        node
        for node in graph.nodes
        if node.type not in _CONVERSIONS
        and (found := precision_of(graph, node)) is not None
        and found.mode in (Mode.STATIC, Mode.DYNAMIC)
    ]
    delegated = _delegated(interpreter, graph)
    slow = list(dict.fromkeys(node.type for node in quantized if node.name not in delegated))
    notes = (f"on LiteRT's own kernels, not XNNPACK's: {', '.join(slow)}",) if slow else ()
    return Coverage(frozenset(node.name for node in quantized), importlib.metadata.version("ai-edge-litert"), notes)


def run_tensors(
    file: Path, tensors: Sequence[str], inputs: Inputs, options: RunOptions, *, reference: bool = False
) -> Mapping[str, Array]:
    """Tensors inside a file for one batch, as real numbers; those it does not have are left out.

    Args:
        file: The model.
        tensors: Their names.
        inputs: One batch.
        options: How it runs.
        reference: Compute with LiteRT's plain reference kernels.

    Raises:
        TrialError: LiteRT failed.
    """
    content = read(file)
    try:
        graph = graph_of(parse(content))
        called = interface_in(content, str(file))
        session = Session(content, called, options.threads, keep_tensors=True, reference=reference)
    except (ValueError, RuntimeError) as error:
        raise TrialError(f"LiteRT failed: {reason(error)}") from error
    except TrialError:
        raise
    except AutoqError as error:
        raise TrialError(error.message, where=error.where) from error
    session.run(inputs)
    wanted = [graph.tensors[graph.index_of[name]] for name in dict.fromkeys(tensors) if name in graph.index_of]
    return {t.name: dequantized(session.tensor(t.index), t.scales, t.zero_points) for t in wanted}


def _delegated(interpreter: object, graph: Graph) -> frozenset[str]:
    """Names of the nodes XNNPACK executes: each shows as a delegate that makes the node's tensor."""
    details = interpreter._get_ops_details()  # type: ignore[attr-defined]  # the interpreter tells it nowhere else
    made = {int(index) for op in details if op["op_name"] == "DELEGATE" for index in op["outputs"]}
    return frozenset(node.name for node in graph.nodes if made.intersection(node.outputs))
