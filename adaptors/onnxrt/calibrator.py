"""Statistics of intermediate tensors, streamed from optimized sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from autoq.adaptors.onnxrt.calibrator_segments import Chain, measure_shapes
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.session import SessionSettings, reason
from autoq.calibration.streaming import collect_streamed
from autoq.core.batch import Array, Batch
from autoq.core.errors import AutoqError, DataError, ModelError
from autoq.core.statistics import Calibration, Needs
from autoq.core.suggest import did_you_mean

Feed = Callable[[Batch], Mapping[str, Array]]

BUDGET = 64 << 20
"""Bytes of observed tensors in one segment, where the graph allows it; two segments are alive at once."""

# Batches this much larger than the one the model was cut for are worth cutting it again.
_GROWTH = 1.25


def collect(
    model: OnnxModel,
    batches: Iterable[Batch],
    needs: Needs,
    feed: Feed,
    *,
    threads: int | None = None,
    budget: int = BUDGET,
) -> Calibration:
    """Statistics of the needed tensors, in one pass over the batches.

    Memory grows neither with the number of batches nor with the number of tensors. Tensors that turn out not
    to be floats are left out.

    Args:
        model: The model.
        batches: Calibration data, read once.
        needs: Tensors to observe, and whether with histograms.
        feed: Arrays by input name of a batch.
        threads: Intra-op threads; None for ONNX Runtime's default.
        budget: Bytes of observed tensors one segment may make.

    Raises:
        ModelError: A tensor does not exist, or ONNX Runtime cannot hand it out.
        DataError: The model fails on the data, or they drive a tensor to NaN or infinity.
    """
    observer = _Observer(model, needs.tensors, threads, budget)
    return collect_streamed(batches, needs, lambda batch: observer.run(feed(batch)), model.fingerprint)


def observe(
    model: OnnxModel, batches: Iterable[Batch], tensors: Sequence[str], feed: Feed, *, threads: int | None = None
) -> Iterator[Mapping[str, Array]]:
    """Values of tensors, batch by batch, in the order asked for.

    Raises:
        ModelError: A tensor does not exist, or ONNX Runtime cannot hand it out.
        DataError: The model fails on the data.
    """
    observer = _Observer(model, tensors, threads, budget=None)
    for batch in batches:
        found: dict[str, Array] = {}
        for part in observer.run(feed(batch)):
            found |= part
        yield {name: found[name] for name in tensors}


class _Observer:
    """Runs a model and hands out tensors; cuts it into segments that fit the batches it sees."""

    def __init__(self, model: OnnxModel, tensors: Sequence[str], threads: int | None, budget: int | None) -> None:
        graph = model.graph
        for name in tensors:
            if name not in graph.producer and name not in graph.inputs:
                names = (*graph.producer, *graph.inputs)
                raise ModelError(f"the model computes no tensor '{name}'", hint=did_you_mean(name, names))
        self._graph = graph
        self._inputs = tuple(name for name in dict.fromkeys(tensors) if name in graph.inputs)
        self._inner = tuple(name for name in dict.fromkeys(tensors) if name not in graph.inputs)
        self._threads = threads
        self._budget = budget
        self._chain: Chain | None = None
        self._elements = 0

    def run(self, fed: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """The tensors of one batch, in parts: drop each before asking for the next."""
        if self._inputs:
            yield {name: fed[name] for name in self._inputs}
        if not self._inner:
            return
        try:
            yield from self._fitting_chain(fed).run(fed)
        except AutoqError:
            raise
        except Exception as error:
            raise DataError(
                f"the model fails on the calibration data: {reason(error)}",
                hint="check the shapes and the preprocessing of the calibration data",
            ) from error

    def _fitting_chain(self, fed: Mapping[str, Array]) -> Chain:
        elements = sum(array.size for array in fed.values())
        if self._chain is None or (self._budget is not None and elements > _GROWTH * self._elements):
            self._elements = elements
            self._chain = None  # its weights are released before the next chain loads them
            shapes = measure_shapes(self._graph, self._inner, fed, self._threads) if self._budget is not None else {}
            settings = SessionSettings(threads=self._threads)
            self._chain = Chain(self._graph, self._inner, shapes, self._budget or 0, settings)
        return self._chain
