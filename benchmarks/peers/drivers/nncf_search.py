"""What NNCF's accuracy control needs, for both of its backends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nncf  # type: ignore[import-not-found]

from benchmarks.peers import metric
from benchmarks.peers.drivers.session import Session
from benchmarks.peers.metric import Run
from benchmarks.peers.neutral import Arrays, Samples


def quantize(
    session: Session,
    model: Any,
    runner: Callable[[Any], Run],
    keep: Callable[[Any], Callable[[Path], object] | None],
    intermediate: Path | None = None,
) -> Any:
    """`nncf.quantize_with_accuracy_control` with the task's data and criterion.

    Args:
        session: The search.
        model: The fp32 model in the backend's form.
        runner: From what NNCF hands to the validation function to something that runs.
        keep: From the same to what writes it, or None where that is not possible.
        intermediate: Folder for the model with every op quantized.
    """

    def validate(found: Any, items: Iterable[Samples]) -> tuple[float, list[Any]]:
        result = session.evaluate(runner(found), items, keep(found))
        values = []
        for predictions, batch in zip(result.predictions, result.batches):  # noqa: B905
            scores = metric.per_sample(session.task, predictions, session.labels_of(batch))
            # A correlation has no score of one item: NNCF then compares outputs, given as lists of arrays.
            values.append([predictions] if scores is None else sum(scores) / len(scores))
        return result.score, values

    items = list(session.calibration.batches(1))
    task = session.task
    return nncf.quantize_with_accuracy_control(
        model,
        calibration_dataset=nncf.Dataset(items, _inputs),
        validation_dataset=nncf.Dataset(list(session.tune.batches(task.batch_size)), _inputs),
        validation_fn=validate,
        max_drop=session.limit,
        drop_type=nncf.DropType.ABSOLUTE if task.tolerance == "absolute" else nncf.DropType.RELATIVE,
        subset_size=len(items),
        model_type=nncf.ModelType.TRANSFORMER if task.transformer else None,
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            intermediate_model_dir=None if intermediate is None else str(intermediate)
        ),
    )


def _inputs(batch: Samples) -> Arrays:
    return batch.inputs
