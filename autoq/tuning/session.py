"""What one job knows while it runs, and the one way to try a proposal: the store is written before anyone is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from autoq.core.errors import EvaluationError, ModelError, TrialError
from autoq.core.inquiry import Findings, Inquiry
from autoq.core.objective import Quantity
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan, Proposal
from autoq.core.records import Records
from autoq.core.runner import TrialRunner
from autoq.core.space import Space
from autoq.core.stopping import StoppingRule
from autoq.core.strategy import Costs
from autoq.core.task import (
    Answer,
    Description,
    Evaluate,
    Evaluated,
    MeasureMemory,
    MemoryMeasured,
    Profile,
    Profiled,
    Split,
    Task,
)
from autoq.core.trial import Failure, FailureKind, Latency, Trial, TrialState
from autoq.store.repository import Store
from autoq.tuning.estimate import Estimator
from autoq.tuning.judge import Judge
from autoq.tuning.ledger import Ledger
from autoq.tuning.outcome import TuningListener
from autoq.tuning.questions import answered, question

_CLEARLY_PAYS = 0.8
"""Compiling a plan must save this share of its evaluation's time, or the reference is scored."""

_ACCEPTED_AFTER = "accepted after"
"""Under which the store keeps how long it took to the first accepted plan."""

_HARD = "hard samples"
"""Under which the store keeps how many samples come first for being hard."""

_MOST_STARTS = 2
"""A plan whose start was orphaned this often is recorded as crashed and not tried again."""


class Stopped(Exception):  # noqa: N818 - leaves the search, is no error
    """The user asked to stop."""


class Desk:
    """Hands tasks to the runner, times phases, and knows when to stop.

    Args:
        runner: Where tasks are done.
        store: Where phase times are kept.
        job_id: The job's row.
        listener: Told what happens.
    """

    def __init__(self, runner: TrialRunner, store: Store, job_id: str, listener: TuningListener) -> None:
        self.runner = runner
        self.store = store
        self.job_id = job_id
        self.listener = listener
        self.stopping = threading.Event()
        self.seconds: dict[str, float] = dict(store.fact(job_id, "seconds") or {})
        self._running: tuple[str, float] | None = None
        self._undisturbed = False
        self._lock = threading.RLock()

    def stop(self) -> None:
        """Abandon what runs, unless it is what is handed over; from any thread."""
        with self._lock:
            self.stopping.set()
            if not self._undisturbed:
                self.runner.cancel()
        self.listener.phase("stopping")

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Tasks of this block are done although the user asked to stop."""
        with self._lock:
            self._undisturbed = True
        try:
            yield
        finally:
            self._undisturbed = False

    def do(self, task: Task) -> Answer:
        """The answer to one task.

        Raises:
            Stopped: The user stopped it.
        """
        with self._lock:
            self.leave_if_stopped()
            task_id = self.runner.submit(task)
        while True:
            outcome = self.runner.collect(timeout=0.5)
            if outcome is not None and outcome.task_id == task_id:
                return outcome.answer
            self.leave_if_stopped()

    def do_surely(self, task: Task) -> Answer:
        """The answer to a task without which there is no job: asked once more when its process died."""
        answer = self.do(task)
        return self.do(task) if isinstance(answer, Failure) and answer.kind is FailureKind.CRASH else answer

    def leave_if_stopped(self) -> None:
        """Raise `Stopped` when the user stopped it, outside of an `undisturbed` block."""
        if self.stopping.is_set() and not self._undisturbed:
            raise Stopped

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Announce a phase and add up its seconds over sessions."""
        self.listener.phase(name)
        self.store.add_event(self.job_id, "phase", {"name": name})
        self._running = name, time.monotonic()
        try:
            yield
        finally:
            self.keep_seconds()
            self._running = None

    def keep_seconds(self) -> None:
        """Write down the time spent so far, so that a killed job does not get it again."""
        if self._running is not None:
            name, since = self._running
            now = time.monotonic()
            self._running = name, now
            self.seconds[name] = self.seconds.get(name, 0.0) + now - since
            self.store.set_fact(self.job_id, "seconds", self.seconds)

    def note_acceptance(self) -> None:
        """Write down how long it took, if this is the first time."""
        if self.accepted_after is None:
            self.keep_seconds()
            self.store.set_fact(self.job_id, _ACCEPTED_AFTER, sum(self.seconds.values()))

    @property
    def accepted_after(self) -> float | None:
        """Seconds until the first plan better than fp32 was accepted; None before."""
        stored = self.store.fact(self.job_id, _ACCEPTED_AFTER)
        return None if stored is None else float(stored)

    def profile(self, plan: Plan) -> Mapping[str, float]:
        """Seconds per op of a plan; empty when it cannot be profiled."""
        answer = self.do(Profile(plan))
        return answer.seconds if isinstance(answer, Profiled) else {}

    def peak_memory(self, plan: Plan) -> int | None:
        """Peak bytes of a plan's inference, measured once; None when it cannot be measured."""
        key = f"memory:{plan.digest}"
        stored = self.store.fact(self.job_id, key)
        if stored is None:
            answer = self.do(MeasureMemory(plan))
            if not isinstance(answer, MemoryMeasured):
                return None
            stored = answer.bytes
            self.store.set_fact(self.job_id, key, stored)
        return int(stored)


def score_baseline(
    desk: Desk, description: Description, ledger: Ledger, judge: Judge
) -> tuple[Trial, Mapping[Split, Mapping[str, Records]]]:
    """fp32 as trial 0, scored once on both splits.

    Raises:
        EvaluationError: It cannot be scored, or scores what no criterion can be held against.
    """
    proposal = Proposal(FP32_PLAN, latency=LatencyEffort.QUICK, note="fp32 baseline")
    found = ledger.find(proposal)
    if found is not None:
        tune = ledger.known(FP32_PLAN).records
        return found, {Split.TUNE: tune, Split.HELD_OUT: ledger.held_out(FP32_PLAN) or {}}
    number, _ = ledger.start(proposal)
    known, held_out = ledger.known(FP32_PLAN), description.samples.get(Split.HELD_OUT, 0)
    size = known.size_bytes or description.size_bytes
    scored = Evaluated(known.records, {}, size, FP32_PLAN, known.latency)
    if known.samples < description.samples[Split.TUNE] or known.latency is None:
        scored = _scored_baseline(desk, Split.TUNE, description.samples[Split.TUNE], LatencyEffort.QUICK)
        size = scored.size_bytes if "compile" in scored.seconds else description.size_bytes
        ledger.keep_fact(_HARD, scored.hard)
    with _of_fp32("tune samples"):
        scores = judge.baseline_scores(scored.records)
    judge.check_baseline(scores, scored.records)
    records = {Split.TUNE: scored.records}
    if held_out:
        kept = ledger.held_out(FP32_PLAN)
        if kept is None:
            kept = _scored_baseline(desk, Split.HELD_OUT, held_out, LatencyEffort.NONE).records
        records[Split.HELD_OUT] = kept
        with _of_fp32("held-out samples"):
            judge.scores(kept, kept)  # undefined there, e.g. for want of a class: better told now than at the end
    trial = Trial(
        number,
        proposal,
        TrialState.COMPLETE,
        scores,
        scored.latency,
        size,
        memory_bytes=desk.peak_memory(FP32_PLAN) if Quantity.MEMORY in judge.objective.quantities else None,
        objective=1.0,
        seconds=scored.seconds,
        realized=FP32_PLAN,
        full=True,
    )
    ledger.finish(trial, records)
    desk.listener.trial(trial)
    return trial, records


@contextmanager
def _of_fp32(samples: str) -> Iterator[None]:
    """Say that an `EvaluationError` of the block is about the fp32 model, and on which samples."""
    try:
        yield
    except EvaluationError as error:
        error.where = ", ".join(filter(None, ("the fp32 model", samples, error.where)))
        raise


def _scored_baseline(desk: Desk, split: Split, samples: int, latency: LatencyEffort) -> Evaluated:
    with _of_fp32(f"{split.replace('_', '-')} samples"):
        try:
            answer = desk.do_surely(Evaluate(FP32_PLAN, split, 0, samples, latency, deployed=True))
        except TrialError as error:
            raise ModelError(
                f"the fp32 model does not run: {error.message}", where=error.where, hint="export it again"
            ) from error
    if isinstance(answer, Failure):
        raise EvaluationError(f"the fp32 model could not be scored: {answer.message}")
    assert isinstance(answer, Evaluated)
    return answer


@dataclass
class Session:
    """An open job: what it is made of, and how a proposal becomes a trial."""

    desk: Desk
    description: Description
    space: Space
    ledger: Ledger
    judge: Judge
    baseline: Trial
    baseline_records: Mapping[Split, Mapping[str, Records]]
    sensing_seconds: float = 60.0
    latencies: dict[str, Latency] = field(default_factory=dict)
    answered: list[Findings] = field(default_factory=list)
    ties: tuple[tuple[int, int], ...] = ()
    notes: list[str] = field(default_factory=list)

    @cached_property
    def hard(self) -> int:
        """How many of the first tune samples are there for being hard; the others come at random."""
        return int(self.ledger.fact(_HARD) or 0)

    @cached_property
    def costs(self) -> Costs:
        """Seconds per op in fp32 and fully quantized: measured once, stored, re-read."""
        samples, full = self.description.samples[Split.TUNE], self.space.full_plan()
        key = f"costs:{full.digest}"
        stored = self.ledger.fact(key)
        if stored is None:
            stored = {
                "float_seconds": dict(self.desk.profile(FP32_PLAN)),
                "quantized_seconds": dict(self.desk.profile(full)),
                "score_seconds": self.baseline.seconds.get("evaluate", 0.0) / max(samples, 1),
            }
            self.ledger.keep_fact(key, stored)
        return Costs(
            **stored,
            samples=samples,
            sequential=self.judge.sequential,
            quantities=self.judge.objective.quantities,
        )

    def findings(self, inquiry: Inquiry) -> Findings:
        """The answer to a strategy's question: measured once, stored, re-read.

        Raises:
            Stopped: The user stopped it; what was measured so far is kept.
        """
        key = f"found:{inquiry.need}:{inquiry.plan.digest}"
        stored = self.ledger.own_fact(key)
        if stored is None:  # answers of other jobs, which may have had less time, are kept by content
            answer = self.desk.do(question(inquiry, self.space, self.costs, self.sensing_seconds))
            stored = answered(inquiry, answer).to_json()
            self.ledger.keep_fact(key, stored)
        found = Findings.from_json(stored)
        self.answered.append(found)
        return found

    def trial(self, proposal: Proposal) -> Trial:
        """Try a proposal, or read from the store what came of it.

        Raises:
            Stopped: The user stopped it; its start is taken back.
        """
        found = self.ledger.find(proposal)
        if found is not None:
            return found
        self.desk.leave_if_stopped()
        every = self.description.samples[Split.TUNE]
        wanted = min(proposal.samples or every, every)
        if self._compiling_pays(proposal, wanted):
            proposal = replace(proposal, deployed=True)
        finished = self.ledger.finished
        number, starts = self.ledger.start(proposal)
        try:
            trial, records = self._tried(proposal, number, starts, wanted, finished)
        except Stopped:
            self.ledger.discard(proposal)
            raise
        self.ledger.finish(trial, {Split.TUNE: records})
        self.desk.keep_seconds()
        self.desk.listener.trial(trial)
        return trial

    def _tried(
        self, proposal: Proposal, number: int, starts: int, wanted: int, finished: Sequence[Trial]
    ) -> tuple[Trial, Mapping[str, Records]]:
        """What comes of a proposal that was started, and its records; what is known already is not measured again."""
        known = self.ledger.known(proposal.plan, deployed=proposal.deployed)
        latency = proposal.latency if known.latency is None and self._is_measured(proposal) else LatencyEffort.NONE
        reference = self.baseline_records[Split.TUNE]
        stops = proposal.samples is None and not proposal.exact and self.judge.sequential
        if stops and known.records and self.judge.decision(known.records, reference, self.hard) is not None:
            wanted = known.samples
        answer: Answer
        if starts > _MOST_STARTS:
            answer = Failure(FailureKind.CRASH, f"autoq itself was killed {starts - 1} times while it tried this plan")
        elif known.samples >= wanted and latency is LatencyEffort.NONE and known.realized is not None:
            answer = Evaluated({}, {}, known.size_bytes or 0, known.realized, reference=known.reference)
        else:
            rule = StoppingRule(self.judge.criteria, reference, self.hard, known.records) if stops else None
            spare = stops and not self._estimator.deserves_measuring(proposal.plan, finished)
            start = min(known.samples, wanted)
            answer = self.desk.do(
                Evaluate(
                    proposal.plan,
                    Split.TUNE,
                    start,
                    wanted,
                    latency,
                    deployed=proposal.deployed,
                    rule=rule,
                    spare_broken=spare,
                )
            )
        begun = Trial(number, proposal, TrialState.RUNNING, latency=known.latency, divergence=known.divergence)
        return self._judged(begun, answer, known.records, wanted, stops=stops)

    def _is_measured(self, proposal: Proposal) -> bool:
        """Whether a trial's latency is measured; where that takes compiling it, most are estimated."""
        finished = self.ledger.finished
        if proposal.deployed or not any(t.reference for t in finished):
            return True
        return self._estimator.deserves_measuring(proposal.plan, finished)

    def _compiling_pays(self, proposal: Proposal, wanted: int) -> bool:
        """Whether scoring the compiled form takes less time than scoring the reference, compiling included."""
        first = next((t for t in self.ledger.finished if t.reference and "compile" in t.seconds), None)
        every = self.description.samples[Split.TUNE]
        if proposal.deployed or first is None or every == 1 or "evaluate" not in self.baseline.seconds:
            return False
        slow = first.seconds["evaluate"] / max(s.samples for s in first.scores)
        fast = self.baseline.seconds["evaluate"] / every
        samples = wanted - self.ledger.known(proposal.plan, deployed=True).samples
        return first.seconds["compile"] + samples * fast < _CLEARLY_PAYS * samples * slow

    @cached_property
    def _estimator(self) -> Estimator:
        return Estimator(self.space, self.costs)

    def objective_of(self, trial: Trial, latency: Latency | None) -> float | None:
        """The weighted cost of a trial with this latency, relative to fp32."""
        base_size = self.baseline.size_bytes or self.description.size_bytes
        size = trial.size_bytes / base_size if trial.size_bytes else None
        memory = None
        if self._memory_counts and trial.memory_bytes is not None:
            base = self.desk.peak_memory(FP32_PLAN)
            memory = trial.memory_bytes / base if base else None
        return self.judge.objective_of(latency, size, memory)

    @property
    def _memory_counts(self) -> bool:
        return Quantity.MEMORY in self.judge.objective.quantities

    def _judged(
        self, trial: Trial, answer: Answer, before: Mapping[str, Records], wanted: int, *, stops: bool
    ) -> tuple[Trial, Mapping[str, Records]]:
        if isinstance(answer, Failure):
            state = TrialState.CRASHED if answer.kind is FailureKind.CRASH else TrialState.FAILED
            return trial.with_(state=state, failure=answer, latency=None), {}
        assert isinstance(answer, Evaluated)
        records: dict[str, Records] = {}
        for metric in (c.metric for c in self.judge.criteria):
            parts = [part[metric] for part in (before, answer.records) if metric in part]
            records[metric] = parts[0] if len(parts) == 1 else Records.concatenate(parts)
        every, reference = self.description.samples[Split.TUNE], self.baseline_records[Split.TUNE]
        seen = min(wanted, *(len(r) for r in records.values()))
        used = {metric: r.first(seen) for metric, r in records.items()}
        try:
            decision = self.judge.decision(used, reference, self.hard) if stops and seen < every else None
            if decision is not None:
                scores = self.judge.decided_scores(decision, used, reference)
            elif seen < every:
                scores = self.judge.partial_scores(used, reference, self.hard)
            else:
                scores = self.judge.scores(used, reference)
        except EvaluationError as error:
            failure = Failure(FailureKind.NOT_FINITE, str(error))
            return trial.with_(state=TrialState.FAILED, failure=failure, latency=None), {}
        latency = answer.latency or trial.latency
        broken = decision is not None and not decision.kept
        if latency is None and (answer.reference or broken) and trial.proposal.latency is not LatencyEffort.NONE:
            latency = self._estimator.estimate(trial.plan, self.baseline, self.ledger.finished)
        judged = trial.with_(
            state=TrialState.COMPLETE,
            scores=scores,
            latency=latency,
            size_bytes=answer.size_bytes,
            seconds=answer.seconds,
            realized=answer.realized,
            full=seen >= every,
            decided=decision is not None,
            divergence=answer.divergence if answer.divergence is not None else trial.divergence,
            reference=answer.reference,
            memory_bytes=self.desk.peak_memory(trial.plan) if self._memory_counts and not broken else None,
        )
        return judged.with_(objective=self.objective_of(judged, judged.latency)), records
