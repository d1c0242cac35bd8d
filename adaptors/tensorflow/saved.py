"""Candidates on disk: a SavedModel, and which plan it realizes."""

from __future__ import annotations

from pathlib import Path

from autoq.adaptors.tensorflow import saving
from autoq.adaptors.tensorflow.candidate import Source, TensorFlowCandidate
from autoq.core.adaptor import Artifact, RunOptions
from autoq.core.errors import ModelError, TrialError
from autoq.core.plan import FP32_PLAN, Plan


def save(candidate: TensorFlowCandidate, folder: Path) -> Artifact:
    """Write a candidate into an existing, empty folder.

    Raises:
        StoreError: It cannot be written.
    """
    record = {
        "framework": "tensorflow",
        "plan": candidate.plan.to_json(),
        "realized": candidate.realized.to_json(),
    }
    source = candidate.source
    return Artifact(folder, saving.save(source.proto, source.frozen, folder, record))


def load_artifact(path: Path, options: RunOptions) -> TensorFlowCandidate:
    """Load what `save` wrote, or any model in a form this adaptor reads.

    Raises:
        ModelError: It cannot be read or loaded.
    """
    found = saving.load(path)
    try:
        plan = FP32_PLAN if found.record is None else Plan.from_json(found.record["realized"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"the description of the saved model cannot be read: {error}",
            where=str(path / saving.DESCRIPTION),
            hint="save it again from the run it came from",
        ) from error
    try:
        return TensorFlowCandidate(Source(found.frozen.proto, found.frozen, found.size_bytes), plan, None, options)
    except TrialError as error:
        raise ModelError(error.message, where=str(path), hint=error.hint) from error
