"""Run a model over samples and keep one record per sample and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from autoq.core.batch import Batch, Inputs, Outputs
from autoq.core.errors import DataError, EvaluationError
from autoq.core.records import Records
from autoq.evaluation.metrics.base import Metric
from autoq.evaluation.postprocess.base import Postprocess


class NotFiniteError(EvaluationError):
    """A model's output holds NaN or infinity."""


def score_batches(
    predict: Callable[[Inputs], Outputs],
    batches: Iterable[Batch],
    postprocess: Postprocess,
    metrics: Sequence[Metric],
    on_progress: Callable[[int], None] | None = None,
    enough: Callable[[Mapping[str, Records]], bool] | None = None,
) -> dict[str, Records]:
    """Score batch by batch; memory holds one batch and the records.

    Args:
        predict: Runs the model on one batch.
        batches: The samples.
        postprocess: Turns outputs into what the metrics take; see `make_postprocess`.
        metrics: What to record; names must differ.
        on_progress: Told the number of samples scored so far.
        enough: Given each batch's records by metric; scoring ends when it says so.

    Returns:
        Records by metric name, one per sample in order.

    Raises:
        NotFiniteError: An output holds NaN or infinity, with output and sample.
        EvaluationError: Predictions do not fit a metric.
        DataError: No samples, or labels that do not fit.
    """
    parts: dict[str, list[Records]] = {metric.name: [] for metric in metrics}
    if len(parts) != len(metrics):
        raise EvaluationError(f"two metrics have the same name: {', '.join(m.name for m in metrics)}")
    done = 0
    for batch in batches:
        outputs = predict(batch.inputs)
        check_finite(outputs, batch, done)
        predictions = postprocess(outputs, batch)
        for metric in metrics:
            records = metric.records(predictions, batch)
            if len(records) != batch.samples:
                raise EvaluationError(
                    f"metric '{metric.name}' gave {len(records)} records for {batch.samples} samples",
                    where=f"samples {done} to {done + batch.samples - 1}",
                )
            parts[metric.name].append(records)
        done += batch.samples
        if on_progress is not None:
            on_progress(done)
        if enough is not None and enough({name: kept[-1] for name, kept in parts.items()}):
            break
    if done == 0:
        raise DataError("there are no samples to score", hint="check offset, limit and held_out of the dataloader")
    return {name: Records.concatenate(kept) for name, kept in parts.items()}


def check_finite(outputs: Outputs, batch: Batch, first_sample: int) -> None:
    """Raise `NotFiniteError` when an output holds NaN or infinity."""
    for name, array in outputs.items():
        if array.dtype.kind != "f" or not array.size:
            continue
        # The sum is finite exactly when all terms are, unless it overflows: then look at each.
        with np.errstate(over="ignore", invalid="ignore"):
            quick = np.isfinite(array.sum(dtype=np.float64))
        if quick or np.isfinite(array).all():
            continue
        bad = np.argwhere(~np.isfinite(array))[0]
        value = array[tuple(bad)]
        place = ""
        if array.ndim and batch.samples and len(array) % batch.samples == 0:
            place = f" at sample {first_sample + int(bad[0]) // (len(array) // batch.samples)}"
        raise NotFiniteError(
            f"output '{name}' holds {value}{place}",
            hint="the precision overflows here, or the model gives it for this input in fp32 too",
        )
