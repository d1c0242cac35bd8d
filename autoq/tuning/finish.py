"""After the search: the finalists, the verdict on held-out data, and the hand-over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from autoq.core.digest import digest_of
from autoq.core.errors import EvaluationError
from autoq.core.interval import Interval
from autoq.core.objective import Quantity
from autoq.core.plan import FP32_PLAN, LatencyEffort, Proposal
from autoq.core.task import Evaluate, Evaluated, Measure, Measured, Split, answer_to_json
from autoq.core.trial import Latency, Trial, TrialState
from autoq.evaluation.intervals import held_out_verdict
from autoq.tuning.front import FrontPoint, front
from autoq.tuning.outcome import HeldOut, worst_verdict
from autoq.tuning.session import Session, Stopped

FINALISTS = 3
"""Accepted quantized plans whose latency is measured carefully before one is chosen."""

RIVALS = 2
"""Accepted float rivals that are measured beside them."""

SCORED_IN_FULL = "finalist, scored in full"
"""The note of a trial that a finalist is scored in full by."""

ON_THE_FRONT = "on the front, scored in full"
"""The note of a trial that a plan of the Pareto front is scored in full by."""

MOST_ON_FRONT = 6
"""Plans of the front that are verified and reported."""

MOST_DEPLOYED = 6
"""Plans that were accepted on a reference and are scored again as deployed, until there are enough finalists."""


def choose_finalist(session: Session) -> tuple[Trial | None, Trial | None]:
    """The accepted trial to hand over; or None, and the attempt that came nearest to being one."""
    with session.desk.phase("finalists"):
        try:
            best, found = _settled(session)
        except Stopped:
            stopped = _stopped_finalists(session)
            session.notes.append("stopped by the user: latencies are the quick ones of the search")
            best, found = _choose(session, stopped), bool(stopped)
    if best is None and found:
        session.notes.append(
            "plans that keep the promise were found, but none is better than fp32 beyond the uncertainty "
            "of the measurement: the answer is fp32"
        )
    return best, None if best is not None else _nearest(session.ledger.finished)


def exportable(session: Session, best: Trial | None, attempt: Trial | None) -> Trial | None:
    """What the deployment gate exports: the chosen plan, or the nearest quantized one where that needs no export.

    A rival in float is a way to run the model in its own framework, and means nothing in another runtime.
    """
    if best is None or not best.plan.is_rival:
        return best or attempt
    nearest = _nearest(session.ledger.finished)
    if nearest is not None:
        session.notes.append(
            f"what is handed over quantizes nothing; exported was the nearest quantized plan, that of trial "
            f"{nearest.number} ({nearest.proposal.note})"
        )
    return nearest


def held_out_of(session: Session, trial: Trial | None) -> HeldOut | None:
    """The verdict on the held-out split, scored once; None without such data."""
    samples = session.description.samples.get(Split.HELD_OUT, 0)
    baseline = session.baseline_records.get(Split.HELD_OUT)
    if trial is None or not samples or not baseline:
        return None
    with session.desk.phase("verdict"):
        records = session.ledger.held_out(trial.plan)
        if records is None:
            try:
                answer = session.desk.do(Evaluate(trial.plan, Split.HELD_OUT, 0, samples, deployed=True))
            except Stopped:
                session.notes.append("stopped by the user: the held-out samples were not scored")
                return None
            if not isinstance(answer, Evaluated):
                session.notes.append(f"the held-out samples could not be scored: {answer}")
                return None
            records = answer.records
            session.desk.store.save_records(session.desk.job_id, trial.plan.digest, Split.HELD_OUT, records)
        try:
            scores = session.judge.scores(records, baseline)
        except EvaluationError as error:
            session.notes.append(f"the held-out samples could not be judged: {error.message}")
            return None
    verdicts = [held_out_verdict(c, s.loss) for c, s in zip(session.judge.criteria, scores, strict=True)]
    return HeldOut(scores, worst_verdict(verdicts))


def memory_of(session: Session, best: Trial | None) -> dict[str, int]:
    """Peak memory of fp32 and of the chosen plan; whatever of it could be measured."""
    plans = {"fp32": FP32_PLAN} | ({"best": best.plan} if best is not None else {})
    found: dict[str, int] = {}
    with session.desk.phase("memory"):
        for name, plan in plans.items():
            try:
                peak = session.desk.peak_memory(plan)
            except Stopped:
                return found
            if peak is not None:
                found[name] = peak
    return found


def front_of(session: Session) -> tuple[FrontPoint, ...]:
    """The Pareto front of a job with several objectives, each plan scored in full as deployed."""
    quantities = session.judge.objective.quantities
    if len(quantities) < 2:
        return ()
    with session.desk.phase("front"):
        for _ in range(2 * MOST_ON_FRONT):
            finished = {t.number: t for t in decisive(session.ledger.finished)}
            points = front(finished.values(), quantities, session.baseline)
            reached = [finished[p.number] for p in points]
            waiting = [t for t in reached[:MOST_ON_FRONT] if not _is_final(t)]
            if not waiting:
                break
            plan, reference = waiting[0].plan, waiting[0].reference
            try:
                session.trial(Proposal(plan, note=ON_THE_FRONT, deployed=reference, exact=True))
            except Stopped:
                session.notes.append("stopped by the user: not all plans of the front were scored in full")
                break
        verified = [t for t in reached if _is_final(t)][:MOST_ON_FRONT]
        try:
            timed = _timed_together(session, verified)
        except Stopped:
            session.notes.append("stopped by the user: the latencies of the front are the quick ones of the search")
            timed = verified
        return front(timed, quantities, session.baseline)


def _timed_together(session: Session, trials: list[Trial]) -> list[Trial]:
    """With careful latencies, as those of the finalists are; a finalist keeps the one it was chosen by."""
    chosen_by, ties = dict(session.latencies), session.ties
    measured = _measured(session, trials) if {t.plan.digest for t in trials} - set(chosen_by) else trials
    session.latencies.update(chosen_by)
    session.ties = ties
    return [t.with_(latency=session.latencies.get(t.plan.digest, t.latency)) for t in measured]


def _is_final(trial: Trial) -> bool:
    return trial.full and not trial.reference


def _settled(session: Session) -> tuple[Trial | None, bool]:
    """The plan to choose, scored in full; and whether any kept the promise.

    The best few are timed side by side first: only what is chosen then needs a full evaluation. If it falls by that,
    the next one is chosen.
    """
    fallen: set[str] = set()
    found = False
    while True:
        accepted = [t for t in _judged_in_full(session) if t.plan.digest not in fallen]
        finalists = _measured(session, _finalists(session, accepted))
        found = found or bool(finalists)
        left = list(finalists)
        while (best := _choose(session, left)) is not None:
            final = _in_full(session, best, len(finalists))
            if final is not None:
                return final, True
            fallen.add(best.plan.digest)
            left.remove(best)
        if len(accepted) <= len(finalists) or not fallen & {t.plan.digest for t in finalists}:
            return None, found


def _in_full(session: Session, chosen: Trial, among: int) -> Trial | None:
    """What was chosen, by all samples and with intervals that allow for choosing one of so many; None when it falls."""
    full = chosen
    if not chosen.full:
        full = session.trial(Proposal(chosen.plan, note=SCORED_IN_FULL, deployed=chosen.proposal.deployed, exact=True))
        renamed = {chosen.number: full.number}
        session.ties = tuple((renamed.get(a, a), renamed.get(b, b)) for a, b in session.ties)
        if not full.accepted:
            session.notes.append(
                f"trial {chosen.number} ({chosen.proposal.note}) was decided to keep the promise after "
                f"{chosen.samples} samples, but does not keep it on all of them"
            )
            return None
    records = session.ledger.known(full.plan, deployed=full.proposal.deployed).records
    if among > 1 and records:
        judge = session.judge.corrected(among)
        full = full.with_(scores=judge.scores(records, session.baseline_records[Split.TUNE]))
    if not full.met:
        session.notes.append(
            f"trial {full.number} ({full.proposal.note}) keeps the promise by its own interval, but not by one "
            f"that allows for choosing among {among} finalists"
        )
        return None
    return full.with_(latency=chosen.latency, objective=chosen.objective)


def _judged_in_full(session: Session) -> list[Trial]:
    """Accepted trials by objective; screened ones that look better are scored on the whole split first."""
    scored: set[str] = set()
    while True:
        finished = _of_search(session.ledger.finished, scored)
        accepted = _accepted(session, finished)
        promising = _most_promising(finished)
        if promising is None or not _may_be_chosen(session, promising, accepted):
            return accepted
        session.trial(Proposal(promising.plan, note=SCORED_IN_FULL, exact=True))
        scored.add(promising.plan.digest)


def _most_promising(finished: Sequence[Trial]) -> Trial | None:
    """The best of those that keep the promise by some of the samples, which decides nothing."""
    settled = {t.plan.digest for t in finished if t.full or t.decided or t.failure is not None}
    waiting = [t for t in finished if t.met and not t.accepted and t.plan.digest not in settled]
    return min(waiting, key=_objective_of, default=None)


def _may_be_chosen(session: Session, trial: Trial, accepted: Sequence[Trial]) -> bool:
    """Whether it is worth a full evaluation: better than what is accepted, or as good by what is known of its speed."""
    if not accepted:
        return _objective_interval(session, trial).low < 1
    best = _objective_of(accepted[0])
    ties = len([t for t in accepted if not t.plan.is_rival]) < FINALISTS
    return _objective_of(trial) < best or (ties and _objective_interval(session, trial).low <= best)


def _accepted(session: Session, trials: Sequence[Trial]) -> list[Trial]:
    """Plans that keep the promise and are, or by the uncertainty of a quick measurement may be, better than fp32."""
    scored = (t for t in trials if t.accepted and not t.plan.is_baseline)
    better = (t for t in scored if _objective_interval(session, t).low < 1)
    return sorted({t.plan.digest: t for t in better}.values(), key=_objective_of)


def decisive(trials: Sequence[Trial]) -> list[Trial]:
    """Of trials with one plan those that say most: as deployed before on a reference, in full before decided early."""
    deployed = {t.plan.digest for t in trials if t.proposal.deployed}
    final = [t for t in trials if t.proposal.deployed or t.plan.digest not in deployed]
    exact = {t.plan.digest for t in final if t.proposal.exact}
    return [t for t in final if t.proposal.exact or t.full or t.plan.digest not in exact]


def _of_search(trials: Sequence[Trial], scored: Collection[str]) -> list[Trial]:
    """The trials without those of finalists and of the front, but for the plans that were `scored` in full just now.

    A job that was killed, stopped or finished comes to the same finalists again.
    """
    references = {t.plan.digest for t in trials if t.reference and t.full}
    searched = [t for t in trials if not t.proposal.exact or t.plan.digest in scored]
    return [t for t in searched if not t.proposal.deployed or t.plan.digest not in references]


def _finalists(session: Session, accepted: list[Trial]) -> list[Trial]:
    """The best few, each scored as deployed."""
    found: list[Trial] = []
    tried = 0
    for trial in (t for t in accepted if not t.plan.is_rival):
        if len(found) == FINALISTS or tried == MOST_DEPLOYED:
            break
        if not trial.reference:
            found.append(trial)
            continue
        tried += 1
        deployed = session.trial(
            Proposal(trial.plan, note=f"trial {trial.number}, as deployed", deployed=True, exact=True)
        )
        if deployed.accepted:
            found.append(deployed)
        else:
            session.notes.append(_fell(trial, deployed))
    if tried == MOST_DEPLOYED and not found:
        session.notes.append(f"{tried} finalists did not keep the promise as deployed; no further one was compiled")
    return sorted([*found, *[t for t in accepted if t.plan.is_rival][:RIVALS]], key=_objective_of)


def _stopped_finalists(session: Session) -> list[Trial]:
    """The best few as they are. Only the best is scored in full and compiled although stopped, if it was not yet."""
    with session.desk.undisturbed():
        for _ in range(FINALISTS):
            accepted = _accepted(session, decisive(session.ledger.finished))
            if not accepted or accepted[0].full or accepted[0].reference:
                break
            session.trial(Proposal(accepted[0].plan, note=SCORED_IN_FULL, exact=True))
        accepted = [t for t in _accepted(session, decisive(session.ledger.finished)) if t.full or t.reference]
        first = _finalists(session, accepted[:1])
    return first + [t for t in accepted[1:FINALISTS] if not t.reference]


def _fell(trial: Trial, deployed: Trial) -> str:
    """Why a finalist is none."""
    what = f"trial {trial.number} ({trial.proposal.note})"
    if deployed.failure is not None:
        return f"{what} kept the promise on its reference, but failed as deployed: {deployed.failure.message}"
    return f"{what} kept the promise on its reference, but not as deployed (trial {deployed.number})"


def _measured(session: Session, finalists: list[Trial]) -> list[Trial]:
    """The finalists with their latency measured carefully, side by side."""
    if not finalists:
        return []
    store, job_id = session.desk.store, session.desk.job_id
    key = "measured:" + digest_of([t.plan.digest for t in finalists])
    stored = store.fact(job_id, key)
    if stored is None:
        answer = session.desk.do(Measure(tuple(t.plan for t in finalists), LatencyEffort.FULL))
        if not isinstance(answer, Measured):
            session.notes.append(f"the finalists' latency could not be measured again: {answer}")
            return finalists
        stored = answer_to_json(answer)
        store.set_fact(job_id, key, stored)
    found = []
    session.ties = tuple((finalists[i].number, finalists[j].number) for i, j in stored["ties"])
    for trial, data in zip(finalists, stored["latencies"], strict=True):
        latency = Latency.from_json(data)
        session.latencies[trial.plan.digest] = latency
        found.append(trial.with_(latency=latency, objective=session.objective_of(trial, latency)))
    return found


def _objective_of(trial: Trial) -> float:
    return trial.objective if trial.objective is not None else float("inf")


def _choose(session: Session, finalists: list[Trial]) -> Trial | None:
    """The best objective; among those that tie with it, the smallest loss. None: no better than fp32."""
    reach = {t.number: _objective_interval(session, t) for t in finalists}
    better = [t for t in finalists if _objective_of(t) < 1 and reach[t.number].high < 1]
    if not better:
        return None
    first = min(better, key=_objective_of)
    tied = [t for t in better if t is first or _is_tie(session, t, first, reach)]
    return min(tied, key=lambda t: (t.excess, _objective_of(t)))


def _is_tie(session: Session, trial: Trial, first: Trial, reach: Mapping[int, Interval]) -> bool:
    """Whether nobody can say which of two is better."""
    if set(session.judge.objective.quantities) <= {Quantity.LATENCY, Quantity.THROUGHPUT} and session.latencies:
        return (trial.number, first.number) in session.ties or (first.number, trial.number) in session.ties
    return reach[trial.number].overlaps(reach[first.number])


def _objective_interval(session: Session, trial: Trial) -> Interval:
    """What the uncertainty of the latency makes of the objective; a point where latency does not count."""
    value, latency = _objective_of(trial), trial.latency
    if latency is None:
        return Interval(value, value, value)
    low, high = (
        session.objective_of(trial, replace(latency, ratio=replace(latency.ratio, value=end)))
        for end in (latency.ratio.low, latency.ratio.high)
    )
    return Interval(value, value if low is None else low, value if high is None else high, latency.ratio.confidence)


def _nearest(trials: list[Trial]) -> Trial | None:
    """The quantized trial nearest to being chosen: the best that keeps the promise, else the nearest to the limit."""
    tried = [t for t in decisive(trials) if t.state is TrialState.COMPLETE and t.plan.precisions]
    final = [t for t in tried if not t.reference]
    return min(
        final or tried,
        key=lambda t: (not t.accepted, _objective_of(t) if t.accepted else 0, not t.full, t.excess, _objective_of(t)),
        default=None,
    )
