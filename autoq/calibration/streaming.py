"""Statistics of many tensors from a model that runs batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from autoq.calibration.histogram import TensorCollector
from autoq.calibration.io import content_digest
from autoq.core.batch import Array, Batch
from autoq.core.statistics import Calibration, Needs

Run = Callable[[Batch], Iterator[dict[str, Array]]]
"""The needed tensors of one batch, in parts: each is dropped before the next is asked for."""


def collect_streamed(batches: Iterable[Batch], needs: Needs, run: Run, fingerprint: str) -> Calibration:
    """Statistics of the needed tensors, in one pass over the batches.

    Two parts are alive at once: one thread counts what the last part holds while the next one is computed. Tensors
    that turn out not to be floats are left out.

    Args:
        batches: Calibration data, read once.
        needs: Tensors to observe, and whether with histograms.
        run: Computes them.
        fingerprint: The model's.

    Raises:
        DataError: A tensor becomes NaN or infinite, or what `run` raises.
    """
    collectors = {name: TensorCollector(name, histogram=needs.histogram) for name in needs.tensors}
    samples = 0
    with ThreadPoolExecutor(max_workers=1) as pool:
        counting: Future[None] | None = None
        for batch in batches:
            samples += batch.samples
            for tensors in run(batch):
                if counting is not None:
                    counting.result()
                counting = pool.submit(_take_in, collectors, tensors)
        if counting is not None:
            counting.result()
    statistics = {name: collector.statistics() for name, collector in collectors.items()}
    return Calibration(statistics, samples, content_digest(fingerprint, statistics))


def _take_in(collectors: dict[str, TensorCollector], tensors: dict[str, Array]) -> None:
    # Empties the dict on the way: each tensor is freed as soon as it is counted.
    for name in tuple(tensors):
        values = tensors.pop(name)
        if np.issubdtype(values.dtype, np.floating):
            collectors[name].update(values)
        else:
            collectors.pop(name, None)
