"""What quantizing each op of a job's model does and saves, without a search: for `autoq inspect --sensitivity`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autoq.core.capability import CapabilityTable
from autoq.core.errors import RunnerError
from autoq.core.inquiry import Findings, Inquiry, Need
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.runner import ProgressListener, TrialRunner
from autoq.core.space import Space
from autoq.core.strategy import Costs
from autoq.core.task import Answer, Calibrate, Profile, Profiled, Progress, Task
from autoq.core.trial import Failure
from autoq.tuning.questions import answered, question


@dataclass(frozen=True)
class SensedUnits:
    """What was measured of a job's model.

    Attributes:
        space: The units, in execution order.
        costs: Seconds per op in fp32 and fully quantized.
        findings: What quantizing each unit does.
    """

    space: Space
    costs: Costs
    findings: Findings


def sense_units(
    runner: TrialRunner,
    make_space: Callable[[CapabilityTable], Space],
    need: Need,
    seconds: float,
    progress: ProgressListener,
) -> SensedUnits:
    """Ask what a search asks, of the fully quantized plan; what was measured before is read from the same cache.

    Args:
        runner: Where it is measured; closed at the end.
        make_space: From the capability table to what the job may search.
        need: What to measure.
        seconds: For the measurement at most; loading and calibrating come on top.
        progress: Told how far the running task is.

    Raises:
        AutoqError: The model or the data cannot be used.
    """
    try:
        description = runner.open(progress)
        space = make_space(description.table)
        calibrated = _do(runner, Calibrate())
        if isinstance(calibrated, Failure):
            raise RunnerError(
                f"calibration failed: {calibrated.message}", hint="raise runner.memory or runner.timeout of the job"
            )
        full = space.full_plan()
        progress(Progress("profile", 0, None))
        costs = Costs(_seconds(runner, FP32_PLAN), _seconds(runner, full))
        inquiry = Inquiry(need, full)
        return SensedUnits(space, costs, answered(inquiry, _do(runner, question(inquiry, space, costs, seconds))))
    finally:
        runner.close()


def _seconds(runner: TrialRunner, plan: Plan) -> dict[str, float]:
    answer = _do(runner, Profile(plan))
    return dict(answer.seconds) if isinstance(answer, Profiled) else {}


def _do(runner: TrialRunner, task: Task) -> Answer:
    task_id = runner.submit(task)
    while True:
        outcome = runner.collect(timeout=0.5)
        if outcome is not None and outcome.task_id == task_id:
            return outcome.answer
