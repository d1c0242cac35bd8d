"""How near strategies come to the truth on real networks that are small enough to try every plan of them.

``python -m benchmarks.oracle [NETWORK ...] [--strategies auto ilp] [--seeds 1] [--workspace DIR]``

Every plan of a network is scored in full on 1,000 or 5,000 Fashion-MNIST pictures, by agreement with fp32, and timed.
The limits are the largest that the fully quantized network breaks, and the largest below half of what it loses. Then
each strategy searches under each limit; what it asks for is answered with those measurements and nothing else is told
to it, so its trials cost nothing and know nothing. It may take a tenth as many trials as there are plans, screenings
among them; its pick is the fastest accepted one by then. At last the picks, and the six plans that are fastest of all
that keep the limit, are timed again side by side: the minimum of hundreds of short timings is a lucky one. The oracle
is the fastest of them all then.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoq.config.schema import Job
from autoq.core.inquiry import Inquiry
from autoq.core.plan import LatencyEffort, Plan, Proposal
from autoq.core.registry import strategy_factory
from autoq.core.task import Measure, Measured
from autoq.core.trial import Trial
from autoq.store.repository import Store
from autoq.strategies.exhaustive import Exhaustive
from autoq.tuning.session import Session
from benchmarks.common import Cell, print_table, write_results
from benchmarks.jobs import limited
from benchmarks.support import fashion
from benchmarks.support.sessions import opened
from benchmarks.support.small import SIDE, SMALL, small
from examples.pytorch import pictures

STRATEGIES = ("auto", "ilp", "bayesian", "basic")
BELOW = (1.0, 0.5)
"""A limit is the largest loss of a plan below so many times that of the fully quantized network."""

BUDGET = 0.1
"""Trials of a strategy, as a share of the plans."""

Row = dict[str, Cell]

_NEAR = 1.05
_FASTEST = 6


@dataclass(frozen=True)
class Answer:
    """What a strategy found.

    Attributes:
        pick: The fastest accepted trial within the budget; None without one.
        trials: How many it took in all, at most the budget.
        near: Its first trial within 5 % of the oracle, by the measurements it was told; None without one.
    """

    pick: Trial | None
    trials: int
    near: int | None


def job_of(name: str, workspace: Path) -> Job:
    """Agreement on the first test pictures."""
    tune = workspace / "tune.npz"
    with np.load(pictures.main(SIDE) / "test.npz") as arrays:
        np.savez(tune, image=arrays["image"][: SMALL[name].samples])
    return fashion.job(name, small(name), SIDE, workspace, metric="agreement", rules=SMALL[name].rules, tune=tune)


def every_plan(session: Session) -> list[Trial]:
    """All plans of the space, scored on all samples."""
    strategy = Exhaustive(session.space, session.costs, 0)
    strategy.tell(session.baseline)
    found = []
    while isinstance(asked := strategy.ask(), Proposal):
        found.append(session.trial(replace(asked, exact=True)))
        strategy.tell(found[-1])
    return found


def fastest(trials: Sequence[Trial], limit: float) -> list[Trial]:
    """The fastest plans that keep a limit, fastest first."""
    kept = [t for t in trials if t.scores and t.scores[0].loss.value <= limit and t.speed is not None]
    return sorted(kept, key=_speed)[:_FASTEST]


def search(session: Session, name: str, seed: int, budget: int, oracle: float) -> Answer:
    """Let a strategy search on stored measurements."""
    strategy = strategy_factory(name)(session.space, session.costs, seed)
    strategy.tell(session.baseline)
    pick: Trial | None = None
    trials, near = 0, None
    while trials < budget:
        asked = strategy.ask()
        if isinstance(asked, Inquiry):
            strategy.tell(session.findings(asked))
            continue
        if not isinstance(asked, Proposal):
            break
        trial = session.trial(asked)
        trials += 1
        if trial.accepted and (pick is None or _speed(trial) < _speed(pick)):
            pick = trial
            if near is None and _speed(trial) <= _NEAR * oracle:
                near = trials
        strategy.tell(trial)
    return Answer(pick, trials, near)


def side_by_side(session: Session, plans: Sequence[Plan]) -> dict[Plan, float]:
    """Latency of plans relative to fp32, timed in turn."""
    answer = session.desk.do(Measure(tuple(plans), LatencyEffort.FULL))
    assert isinstance(answer, Measured), answer
    return {plan: latency.ratio.value for plan, latency in zip(plans, answer.latencies, strict=True)}


def compare(
    job: Job, store: Store, truth: Sequence[Trial], below: float, names: Sequence[str], seeds: int
) -> list[Row]:
    """One line per strategy and seed, under one limit."""
    losses = [t.scores[0].loss.value for t in truth if t.scores]
    quantized = truth[0].scores[0].loss.value
    limit = max(loss for loss in losses if loss < below * quantized)
    best = fastest(truth, limit)
    budget = int(BUDGET * len(truth))
    with opened(limited(job, limit, Path(job.tuning.workspace)), store) as session:
        answers = {(n, s): search(session, n, s, budget, _speed(best[0])) for n in names for s in range(seeds)}
        picks = [a.pick.plan for a in answers.values() if a.pick is not None]
        timed = side_by_side(session, list(dict.fromkeys([*(t.plan for t in best), *picks])))
    oracle = min(timed.values())
    return [
        {
            "network": job.model.name,
            "ops": len(session.space.units),
            "plans": len(truth),
            "limit": limit,
            "plans that keep it": sum(loss <= limit for loss in losses) / len(losses),
            "all int8 loses": quantized,
            "oracle / fp32": oracle,
            "strategy": name,
            "seed": seed,
            "trials": answer.trials,
            "of all": answer.trials / len(truth),
            "within 5 % after": answer.near,
            "pick / oracle": timed[answer.pick.plan] / oracle if answer.pick is not None else None,
            "as told": _speed(answer.pick) / _speed(best[0]) if answer.pick is not None else None,
        }
        for (name, seed), answer in answers.items()
    ]


def run(name: str, workspace: Path, names: Sequence[str], seeds: int) -> list[Row]:
    """All lines of one network."""
    job = job_of(name, workspace)
    with Store.open(workspace) as store:
        with opened(job, store) as session:
            truth = every_plan(session)
        return [row for below in BELOW for row in compare(job, store, truth, below, names, seeds)]


def _speed(trial: Trial) -> float:
    return trial.speed if trial.speed is not None else math.inf


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description="Strategies beside the whole truth.")
    parser.add_argument("networks", nargs="*", default=list(SMALL), metavar="NETWORK", help=f"of {', '.join(SMALL)}")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workspace", type=Path, help="keep the measurements there, and use those that are there")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.networks:
        with tempfile.TemporaryDirectory() as scratch:
            workspace = (given.workspace or Path(scratch)).absolute() / name
            workspace.mkdir(parents=True, exist_ok=True)
            rows += run(name, workspace, given.strategies, given.seeds)
        print_table("Strategies beside the whole truth", rows)
    print(f"\n{write_results('oracle', rows, threads=1)}")


if __name__ == "__main__":
    main()
