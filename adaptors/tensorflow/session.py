"""How every TensorFlow session of this adaptor is made, and how its errors read.

A frozen graph in a session of its own is the fastest form TensorFlow has on a CPU: it is optimized as a whole, and
oneDNN keeps the weights in its own layout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoq.adaptors.tensorflow.graph import GraphDef
from autoq.adaptors.tensorflow.optimize import optimized
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.batch import Array

RunMetadata = Any
"""``tf.compat.v1.RunMetadata``."""

# What TensorFlow raises: its own errors, and Python's for names and values it refuses before it runs.
FAILURES = (tf.errors.OpError, ValueError, TypeError, RuntimeError, KeyError)

_CALLERS_THREAD = -1


@dataclass(frozen=True)
class SessionSettings:
    """What differs between the sessions we make.

    Attributes:
        threads: Intra-op threads; None for TensorFlow's default.
        bf16: Whether grappler turns what it can into bfloat16.
        traced: Record the time of every node.
    """

    threads: int | None = None
    bf16: bool = False
    traced: bool = False

    def with_trace(self) -> SessionSettings:
        """The same, recording times."""
        return replace(self, traced=True)


class GraphSession:
    """A graph that runs.

    Args:
        proto: The graph.
        feeds: Tensors that are fed, in order.
        fetches: Tensors that are computed, in order; none of them fed.
        settings: Threads and optimizations.

    Raises:
        Exception: Whatever TensorFlow raises, one of `FAILURES`; see `reason`.
    """

    def __init__(
        self, proto: GraphDef, feeds: Sequence[str], fetches: Sequence[str], settings: SessionSettings
    ) -> None:
        # Inside the session grappler is slow, but knows bfloat16 and functions.
        inside = settings.bf16 or bool(proto.library.function)
        if not inside:
            proto = optimized(proto, (*feeds, *fetches))
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(proto, name="")
        v1 = tf.compat.v1
        config = v1.ConfigProto(
            intra_op_parallelism_threads=settings.threads or 0,
            # Ops run one after the other on the caller's thread: what runs in parallel are the parts of an op.
            inter_op_parallelism_threads=1,
            use_per_session_threads=True,
        )
        rewrites = config.graph_options.rewrite_options
        rewrites.disable_meta_optimizer = not inside
        if settings.bf16:
            rewrites.auto_mixed_precision_onednn_bfloat16 = type(rewrites).ON
        self._session: Any = v1.Session(graph=graph, config=config)
        options = _callable_options(feeds, fetches, traced=settings.traced)
        self._call: Callable[..., Sequence[Array]] | None = self._session._make_callable_from_options(options)

    def run(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """The fetched tensors, in order. Raises one of `FAILURES`."""
        if self._call is None:
            raise RuntimeError("the session is closed")
        return [np.asarray(found) for found in self._call(*arrays)]

    def recorded(self, arrays: Sequence[Array]) -> RunMetadata:
        """What a run leaves behind: the graph that is executed, and with `SessionSettings.traced` the time of nodes."""
        if self._call is None:
            raise RuntimeError("the session is closed")
        metadata = tf.compat.v1.RunMetadata()
        self._call(*arrays, run_metadata=metadata)
        return metadata

    def close(self) -> None:
        """Release threads, weights and the graph; again does nothing."""
        if self._session is not None:
            self._call = None
            self._session.close()
            self._session = None


def _callable_options(feeds: Sequence[str], fetches: Sequence[str], *, traced: bool) -> Any:
    # Here, since TensorFlow must have been imported silently before.
    from tensorflow.core.protobuf import config_pb2

    options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
    options.run_options.output_partition_graphs = True
    options.run_options.inter_op_thread_pool = _CALLERS_THREAD
    if traced:
        options.run_options.trace_level = config_pb2.RunOptions.FULL_TRACE
    return options


def reason(error: BaseException) -> str:
    """TensorFlow's message without the graph it appends."""
    text = getattr(error, "message", None) or str(error)
    text = re.sub(r"\s*\[\[\{\{node ([^}]*)\}\}\]\]", r" (node \1)", text)
    text = text.partition("\n\nOriginal stack trace")[0]
    return " ".join(text.split())[:600] or type(error).__name__
