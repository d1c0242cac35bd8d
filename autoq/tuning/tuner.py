"""The loop: ask, try, tell, until the strategy is done or the budget is spent. Then the verdict."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autoq.core.budget import Budget
from autoq.core.capability import CapabilityTable
from autoq.core.errors import AutoqError, RunnerError, StoppedByUserError, StoreError
from autoq.core.inquiry import Inquiry
from autoq.core.plan import FP32_PLAN, Done, Proposal, Wait
from autoq.core.runner import TrialRunner
from autoq.core.space import Space
from autoq.core.strategy import Strategy, StrategyFactory
from autoq.core.task import Calibrate, Description
from autoq.core.trial import Failure, Trial
from autoq.store.artifacts import JobFolder
from autoq.store.repository import Store
from autoq.tuning.deployment.gate import DeploymentSettings, deploy
from autoq.tuning.finish import SCORED_IN_FULL, choose_finalist, exportable, front_of, held_out_of, memory_of
from autoq.tuning.handover import save_plan
from autoq.tuning.judge import Judge
from autoq.tuning.ledger import Ledger
from autoq.tuning.outcome import STOPPED, TuningListener, TuningOutcome
from autoq.tuning.recall import is_better, recall
from autoq.tuning.rivals import rivals
from autoq.tuning.session import Desk, Session, Stopped, score_baseline

_RIVALS_SHARE = 0.5
"""Of the time a job has, after which no further rival is begun: the search needs the rest."""

_SENSING_SECONDS = 60.0
"""A question of a strategy about single ops may take so long at most, and of a limited time this share."""

_SENSING_SHARE = 0.15


@dataclass(frozen=True)
class TuningSettings:
    """What of a job the tuner needs.

    Attributes:
        framework: Name of the adaptor.
        make_space: From the capability table to what may be searched.
        make_strategy: Factory of the strategy.
        strategy_options: Its options.
        budget: When the search ends.
        seed: Seed of the strategy.
        make_judge: From the description to the judge.
        reuse: Whether scores of other jobs with the same evidence may be used: not where Python code that cannot be
            compared takes part in scoring.
        deployment: Where the tuned model will run, or None.
    """

    framework: str
    make_space: Callable[[CapabilityTable], Space]
    make_strategy: StrategyFactory
    strategy_options: Mapping[str, Any]
    budget: Budget
    seed: int
    make_judge: Callable[[Description], Judge]
    reuse: bool = True
    deployment: DeploymentSettings | None = None


class Tuner:
    """Runs one job. `run` may be called from any thread, `stop` from any other.

    Args:
        runner: Where trials run.
        store: The truth; everything measured is written before it is used.
        job_id: The job's row in the store.
        folder: Where the job's files go.
        settings: The job.
        listener: Told what happens.
    """

    def __init__(
        self,
        runner: TrialRunner,
        store: Store,
        job_id: str,
        folder: JobFolder,
        settings: TuningSettings,
        listener: TuningListener,
    ) -> None:
        self._desk = Desk(runner, store, job_id, listener)
        self._folder = folder
        self._settings = settings

    def stop(self) -> None:
        """End the search now: the running trial is abandoned, the best so far is handed over."""
        self._desk.stop()

    def run(self) -> TuningOutcome:
        """Tune, and hand over the best plan that keeps the promise, or fp32 with the evidence.

        Raises:
            AutoqError: The job cannot run at all: model, data, baseline or workspace are at fault.
            StoppedByUserError: `stop` came before there was a baseline.
        """
        try:
            session = open_session(self._desk, self._settings)
        except Stopped:
            self._desk.runner.close()
            raise StoppedByUserError(
                "stopped before the search began: there is nothing to hand over yet",
                hint="`autoq tune --resume` goes on from here",
            ) from None
        except BaseException:
            self._desk.runner.close()
            raise
        try:
            strategy, reason = self._search(session)
            return self._finish(session, strategy, reason)
        finally:
            self._desk.runner.close()

    def _search(self, session: Session) -> tuple[Strategy | None, str]:
        settings, desk = self._settings, self._desk
        strategy: Strategy | None = None
        before = desk.seconds.get("rivals", 0.0) + desk.seconds.get("search", 0.0)
        started = time.monotonic()
        try:
            found = self._try_rivals(session, before)
            with desk.phase("search"):
                strategy = settings.make_strategy(
                    session.space, session.costs, settings.seed, **settings.strategy_options
                )
                for known in (session.baseline, *found):
                    strategy.tell(known)
                told, passed = 0, any(self._passes(session, t) for t in recall(session))
                while True:
                    reason = settings.budget.spent(told, before + time.monotonic() - started, passed)
                    if reason is not None:
                        return strategy, reason
                    asked = strategy.ask()
                    if isinstance(asked, Done):
                        return strategy, asked.reason or "the strategy has nothing more to try"
                    if isinstance(asked, Wait):
                        raise AutoqError("the strategy waits although no trial is open")
                    if isinstance(asked, Inquiry):
                        strategy.tell(session.findings(asked))
                        continue
                    trial = session.trial(asked)
                    strategy.tell(trial)
                    told += 1
                    if is_better(trial):
                        desk.note_acceptance()
                    passed = passed or self._passes(session, trial)
        except Stopped:
            return strategy, STOPPED

    def _passes(self, session: Session, trial: Trial) -> bool:
        """Whether a trial may end a search for the first that passes: then it is scored in full at once."""
        if not self._settings.budget.first_pass or not is_better(trial):
            return False
        if not trial.full and not trial.reference:
            trial = session.trial(Proposal(trial.plan, note=SCORED_IN_FULL, exact=True))
        return is_better(trial)

    def _try_rivals(self, session: Session, before: float) -> list[Trial]:
        """What needs no quantization, in half of the time at most; such trials do not count as trials of the search."""
        desk, started, limit = self._desk, time.monotonic(), self._settings.budget.timeout
        found: list[Trial] = []
        asked = rivals(session.space.float_recipes)
        if not asked:
            return found
        with desk.phase("rivals"):
            for proposal in asked:
                spent = before + time.monotonic() - started
                if limit is not None and spent >= _RIVALS_SHARE * limit and session.ledger.find(proposal) is None:
                    session.notes.append(
                        f"{proposal.note} was not tried: the other rivals in float took half of the {limit:g} seconds"
                    )
                    continue
                found.append(session.trial(proposal))
        return found

    def _finish(self, session: Session, strategy: Strategy | None, reason: str) -> TuningOutcome:
        desk, folder, settings = self._desk, self._folder, self._settings
        best, attempt = choose_finalist(session)
        pareto_front = front_of(session)
        held_out = held_out_of(session, best or attempt)
        memory = memory_of(session, best)
        wanted = settings.deployment
        deployment = None
        if wanted is not None:
            deployment = deploy(session, exportable(session, best, attempt), wanted, folder.folder)
        with desk.undisturbed(), desk.phase("save"):
            framework = settings.framework
            save_plan(desk, best.plan if best is not None else FP32_PLAN, folder.model, framework)
            if attempt is not None:
                save_plan(desk, attempt.plan, folder.attempt, framework)
            elif folder.attempt.exists():
                shutil.rmtree(folder.attempt)  # of a session that ended before a plan was accepted
        return TuningOutcome(
            job_id=desk.job_id,
            description=session.description,
            space=session.space,
            criteria=session.judge.criteria,
            objective=session.judge.objective,
            baseline=session.baseline,
            trials=tuple(session.ledger.finished),
            best=best,
            attempt=attempt,
            full_latencies=session.latencies,
            held_out=held_out,
            memory=memory,
            seconds=dict(desk.seconds),
            stop_reason=STOPPED if desk.stopping.is_set() else reason,
            explanation=str(getattr(strategy, "explanation", "")),
            notes=tuple(session.notes),
            folder=folder.folder,
            model_folder=folder.model,
            attempt_folder=folder.attempt if attempt is not None else None,
            deployment=deployment,
            costs=session.costs if strategy is not None else None,
            findings=tuple(session.answered),
            ties=session.ties,
            front=pareto_front,
            accepted_after=desk.accepted_after if best is not None else None,
        )


def open_session(desk: Desk, settings: TuningSettings) -> Session:
    """Load the model, score fp32 and calibrate: what comes before the first trial.

    Raises:
        AutoqError: Model, data, baseline or workspace are at fault.
        Stopped: The user stopped it.
    """
    with desk.phase("load"):
        description = desk.runner.open(desk.listener.progress)
    space = settings.make_space(description.table)
    desk.listener.opened(description, space)
    _require_same_evidence(desk, description.evidence)
    ledger = Ledger(desk.store, desk.job_id, description.evidence if settings.reuse else None)
    judge = settings.make_judge(description)
    with desk.phase("baseline"):
        baseline, records = score_baseline(desk, description, ledger, judge)
    with desk.phase("calibrate"):
        answer = desk.do_surely(Calibrate())
        if isinstance(answer, Failure):
            raise RunnerError(
                f"calibration failed: {answer.message}", hint="raise runner.memory or runner.timeout of the job"
            )
    limit = settings.budget.timeout
    return Session(
        desk,
        description,
        space,
        ledger,
        judge,
        baseline,
        records,
        sensing_seconds=_SENSING_SECONDS if limit is None else min(_SENSING_SECONDS, _SENSING_SHARE * limit),
        notes=[*description.notes, *space.notes],
    )


def _require_same_evidence(desk: Desk, evidence: str) -> None:
    """What was measured of another model or on other data must not be mixed with what is measured now."""
    before = desk.store.fact(desk.job_id, "evidence")
    if before not in (None, evidence) and desk.store.trials(desk.job_id):
        raise StoreError(
            "the model, the data, the settings of the measurement or an installed package changed since this job "
            "was started: its trials say nothing about what would be tuned now",
            where=f"job {desk.job_id}",
            hint="run it without --resume",
        )
    desk.store.set_fact(desk.job_id, "evidence", evidence)
