"""Does a result come out again? The plan from the stored measurements, the numbers from new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoq.core.errors import StoreError
from autoq.core.inquiry import Inquiry
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan, Proposal
from autoq.core.records import Records
from autoq.core.registry import strategy_factory
from autoq.core.runner import ProgressListener, TrialRunner
from autoq.core.task import Answer, Calibrate, Description, Evaluate, Evaluated, Measure, Measured, Split, Task
from autoq.core.trial import Latency, MetricScore
from autoq.tuning.assemble import judge_of, metrics_of
from autoq.tuning.bundle import Bundle
from autoq.tuning.finish import ON_THE_FRONT, SCORED_IN_FULL
from autoq.tuning.ledger import key_of
from autoq.tuning.recall import RECALLED

_SCORE_SLACK = 1e-9


@dataclass(frozen=True)
class Difference:
    """Something that did not come out again, with the reason where one is known."""

    what: str
    then: str
    now: str


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    Attributes:
        same_plan: The strategy, told the stored measurements, asks for the same trials in the same order.
        same_scores: Every score of the chosen plan is equal on both splits.
        latency_then: Ratio to fp32 in the bundle.
        latency_now: Ratio measured now.
        differences: What differs: evidence first, then its effects.
        scores: Scores measured now on the tune split.
    """

    same_plan: bool
    same_scores: bool
    latency_then: Latency | None
    latency_now: Latency | None
    differences: tuple[Difference, ...]
    scores: tuple[MetricScore, ...]

    @property
    def same_latency(self) -> bool:
        """Whether the two ratios' intervals overlap; true when none was measured."""
        if self.latency_then is None or self.latency_now is None:
            return True
        return self.latency_then.ratio.overlaps(self.latency_now.ratio)


def replay(bundle: Bundle, runner: TrialRunner, progress: ProgressListener) -> Replay:
    """Run a bundle again.

    Args:
        bundle: What to compare with.
        runner: Opened and closed here.
        progress: Told how far it is.

    Raises:
        AutoqError: Model or data of the bundle's job cannot be used any more.
    """
    differences: list[Difference] = []
    same_plan = _same_search(bundle, differences)
    try:
        description = runner.open(progress)
        differences += _evidence_differences(bundle, description)
        _do(runner, Calibrate())
        scores, same_scores = _scores_again(bundle, runner, description, differences)
        latency = _latency_again(bundle, runner)
    finally:
        runner.close()
    chosen = next((t for t in bundle.trials if t.number == bundle.best), None)
    return Replay(same_plan, same_scores, chosen.latency if chosen else None, latency, tuple(differences), scores)


def _same_search(bundle: Bundle, differences: list[Difference]) -> bool:
    """Ask the strategy again, telling it what was measured then."""
    strategy_section = bundle.job.tuning.strategy
    strategy = strategy_factory(strategy_section.name)(
        bundle.space, bundle.costs, bundle.job.tuning.random_seed, **dict(strategy_section.model_extra or {})
    )
    known = {key_of(t.proposal): t for t in bundle.trials}
    rivals = [t for t in bundle.trials if t.plan.recipes in bundle.space.float_recipes and t.plan.is_rival]
    for before in (bundle.trials[0], *rivals):
        strategy.tell(before)
    findings = {f.inquiry: f for f in bundle.findings}
    asked: set[str] = set()
    while True:
        proposal = strategy.ask()
        if isinstance(proposal, Inquiry) and proposal in findings:
            strategy.tell(findings[proposal])
            continue
        if not isinstance(proposal, Proposal):
            break
        trial = known.get(key_of(proposal)) or known.get(key_of(replace(proposal, deployed=True)))
        if trial is None:
            break  # the search had ended here, by its budget or by the user
        asked.add(trial.plan.digest)
        strategy.tell(trial)
    others = (SCORED_IN_FULL, ON_THE_FRONT, RECALLED)
    finalists = {t.plan.digest for t in bundle.trials if t.proposal.note.startswith(others)}
    elsewhere = finalists | {t.plan.digest for t in rivals}
    missing = [t for t in bundle.trials[1:] if t.plan.digest not in asked | elsewhere]
    if missing:
        differences.append(
            Difference(
                "search",
                f"trial {missing[0].number} ({missing[0].proposal.note})",
                "the strategy no longer asks for it: its code or options changed",
            )
        )
    return not missing


def _evidence_differences(bundle: Bundle, description: Description) -> list[Difference]:
    if description.evidence == bundle.evidence:
        return []
    found = []
    if description.fingerprint != bundle.fingerprint:
        found.append(Difference("model", bundle.fingerprint, description.fingerprint))
    for key in sorted({*bundle.environment, *description.environment}):
        then, now = bundle.environment.get(key, "–"), description.environment.get(key, "–")
        if then != now:
            found.append(Difference(key, then, now))
    if not found:
        found.append(Difference("data or settings", bundle.evidence, description.evidence))
    return found


def _scores_again(
    bundle: Bundle, runner: TrialRunner, description: Description, differences: list[Difference]
) -> tuple[tuple[MetricScore, ...], bool]:
    judge = judge_of(bundle.job, description.metrics, metrics_of(bundle.job))
    chosen = next((t for t in bundle.trials if t.number == bundle.best), bundle.trials[0])
    same = True
    tune: tuple[MetricScore, ...] = ()
    for split, then in ((Split.TUNE, chosen.scores), (Split.HELD_OUT, bundle.held_out)):
        count = description.samples.get(split, 0)
        if not count or not then:
            continue
        if split is Split.HELD_OUT and bundle.best is None:
            continue  # those are the scores of the attempt, and not of what was handed over
        base = _records(runner, FP32_PLAN, split, count)
        now = judge.scores(_records(runner, bundle.plan, split, count) if bundle.plan != FP32_PLAN else base, base)
        if split is Split.TUNE:
            tune = now
        for old, new in zip(then, now, strict=True):
            if abs(old.value - new.value) > _SCORE_SLACK or old.samples != new.samples:
                same = False
                differences.append(
                    Difference(
                        f"{old.metric} ({split})",
                        f"{old.value:.6f} on {old.samples} samples",
                        f"{new.value:.6f} on {new.samples} samples",
                    )
                )
    return tune, same


def _records(runner: TrialRunner, plan: Plan, split: Split, count: int) -> Mapping[str, Records]:
    answer = _do(runner, Evaluate(plan, split, 0, count, deployed=True))
    if not isinstance(answer, Evaluated):
        raise StoreError(f"plan {plan.digest} can no longer be scored: {answer}")
    return answer.records


def _latency_again(bundle: Bundle, runner: TrialRunner) -> Latency | None:
    if bundle.plan == FP32_PLAN:
        return None
    answer = _do(runner, Measure((bundle.plan,), LatencyEffort.FULL))
    return answer.latencies[0] if isinstance(answer, Measured) else None


def _do(runner: TrialRunner, task: Task) -> Answer:
    task_id = runner.submit(task)
    while True:
        outcome = runner.collect(timeout=1.0)
        if outcome is not None and outcome.task_id == task_id:
            return outcome.answer
