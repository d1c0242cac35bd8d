"""From what a tuner holds to a report document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from autoq.core.batch import TensorSpec
from autoq.core.criterion import Criterion, Tolerance
from autoq.core.deployed import Deployment
from autoq.core.objective import Objective
from autoq.core.task import Description, Split
from autoq.core.trial import Latency, MetricScore, Trial
from autoq.report.document import ModelFacts, ReplayStep, ReportDocument
from autoq.report.sensitivity import Sensitivities
from autoq.report.text import NONE, limit_text, score
from autoq.report.verdict import HeldOutResult
from autoq.tuning.front import FrontPoint
from autoq.tuning.obstacles import Obstacles

DEFAULT_REPLAY = (
    ReplayStep("Run the bundle beside this page again and compare plan and numbers", "autoq replay bundle"),
)


def build_document(
    *,
    job_id: str,
    name: str,
    framework: str,
    description: Description,
    criteria: Sequence[Criterion],
    objective: Objective,
    baseline: Trial,
    trials: Sequence[Trial],
    best: Trial | None,
    attempt: Trial | None,
    held_out: tuple[Sequence[MetricScore], str] | None,
    stop_reason: str,
    strategy: str,
    seed: int,
    seconds: Mapping[str, float],
    memory: Mapping[str, int] | None = None,
    full_latencies: Mapping[str, Latency] | None = None,
    op_seconds: Mapping[str, float] | None = None,
    explanation: str = "",
    job_yaml: str = "",
    replay: Sequence[ReplayStep] = DEFAULT_REPLAY,
    notes: Sequence[str] = (),
    black_box: bool = False,
    created: datetime | None = None,
    deployment: Deployment | None = None,
    sensitivities: Sequence[Sensitivities] = (),
    ties: Sequence[tuple[int, ...]] = (),
    front: Sequence[FrontPoint] = (),
    obstacles: Obstacles | None = None,
) -> ReportDocument:
    """A report document.

    Args:
        job_id: The job in the store.
        name: The model's name in the job.
        framework: The adaptor.
        description: Model and data, as the runner found them.
        criteria: The promise.
        objective: What was made small.
        baseline: fp32 as trial 0.
        trials: All finished trials, the baseline included.
        best: The accepted trial that is handed over, with its careful latency.
        attempt: Where nothing was accepted, the trial that came nearest.
        held_out: Scores on the held-out split and the verdict, or None.
        stop_reason: Why the search ended.
        strategy: Its name.
        seed: The job's random seed.
        seconds: Seconds by phase.
        memory: Peak memory in bytes of ``fp32`` and ``best``.
        full_latencies: Careful latencies by plan digest.
        op_seconds: Seconds per op in fp32.
        explanation: What the strategy did, in its own words.
        job_yaml: The job file's text.
        replay: How to run it again.
        notes: The tuner's own remarks; those that follow from the data are added here.
        black_box: The score came from the user's own function.
        created: Now when None.
        deployment: What the deployment gate found, or None.
        sensitivities: What the strategy asked to be measured of single ops.
        ties: Numbers of finalists whose latencies cannot be told apart, per tie.
        front: The Pareto front, where the job has several objectives.
        obstacles: What stood in the way where nothing was accepted, or None.
    """
    shown = best or attempt
    remarks = [
        *notes,
        *_data_notes(description, criteria, baseline, trials, held_out is not None, best, shown, black_box=black_box),
    ]
    return ReportDocument(
        job_id=job_id,
        created=(created or datetime.now(UTC)).isoformat(timespec="seconds"),
        model=ModelFacts(
            name,
            framework,
            description.size_bytes,
            description.fingerprint,
            tuple(_spec(s) for s in description.inputs),
            tuple(_spec(s) for s in description.outputs),
        ),
        samples={str(split): count for split, count in description.samples.items()},
        batch_size=description.batch_size,
        criteria=tuple(criteria),
        objective=objective,
        baseline=baseline,
        trials=tuple(trials),
        best=best,
        attempt=attempt,
        held_out=HeldOutResult(tuple(held_out[0]), held_out[1]) if held_out is not None else None,
        ops=tuple(description.table.ops),
        op_seconds=dict(op_seconds or {}),
        op_notes={row.op.id: row.note for row in description.table if row.note},
        full_latencies=dict(full_latencies or {}),
        memory=dict(memory or {}),
        seconds=dict(seconds),
        stop_reason=stop_reason,
        strategy=strategy,
        explanation=explanation,
        seed=seed,
        environment=dict(description.environment),
        job_yaml=job_yaml,
        replay=tuple(replay),
        notes=tuple(dict.fromkeys(remarks)),
        deployment=deployment,
        sensitivities=tuple(sensitivities),
        ties=tuple(ties),
        front=tuple(front),
        obstacles=obstacles,
    )


def _spec(spec: TensorSpec) -> str:
    shape = NONE if spec.shape is None else " × ".join("?" if s is None else str(s) for s in spec.shape)
    return f"{spec.name}: {spec.dtype} {shape}"


def _data_notes(
    description: Description,
    criteria: Sequence[Criterion],
    baseline: Trial,
    trials: Sequence[Trial],
    has_held_out: bool,
    best: Trial | None,
    shown: Trial | None,
    *,
    black_box: bool,
) -> list[str]:
    """What follows from the data and a reader might not think of."""
    found = []
    if black_box:
        found.append(
            "The score comes from your own function (eval_func), which is a black box: its losses have no "
            "interval, every trial was scored in full, and there are no held-out samples."
        )
    elif best is not None and not has_held_out:
        found.append(
            "There is no held-out verdict: the plan was chosen and judged on the same samples, so its loss is "
            "a little optimistic. Set evaluation.accuracy.held_out to keep some samples for the end."
        )
    samples = description.samples.get(Split.TUNE, 0)
    if not black_box and samples:
        for criterion, metric, measured in zip(criteria, description.metrics, baseline.scores, strict=True):
            allowed = criterion.allowed_drop(measured.value)
            counted = all(_is_count(s) for t in trials for s in t.scores if s.metric == metric.name)
            if metric.is_mean and counted and 0 < allowed < 1 / samples:
                found.append(
                    f"With {samples} samples {metric.name} moves in steps of about {score(1 / samples)}, "
                    f"which is more than the limit of {limit_text(criterion)}"
                    f"{_in_unit(criterion, allowed)}: more samples would tell more."
                )
    if shown is not None and shown.realized is not None:
        fell = sum(shown.plan[op].mode != shown.realized[op].mode for op in shown.plan)
        if fell:
            found.append(
                f"{fell} of {len(shown.plan)} quantized ops run in another precision than the plan asks for; "
                "the map marks them. Speed and accuracy were measured as realized."
            )
    return found


def _is_count(measured: MetricScore) -> bool:
    """Whether a mean score is a share of right samples, so that it moves in steps."""
    right = measured.value * measured.samples
    return abs(right - round(right)) < 1e-6


def _in_unit(criterion: Criterion, allowed: float) -> str:
    return f" (here {score(allowed)})" if criterion.tolerance is Tolerance.RELATIVE else ""
