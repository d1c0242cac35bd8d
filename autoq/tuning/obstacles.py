"""Why nothing was accepted, as far as it was measured: how near it came, what stands in the way, what would help."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoq.core.capability import CapabilityTable
from autoq.core.criterion import Criterion
from autoq.core.errors import ConfigError
from autoq.core.inquiry import Findings, Need
from autoq.core.space import Space, Unit
from autoq.core.trial import MetricScore, Trial, TrialState
from autoq.tuning.advice import Evidence, advice

_MOST_BLOCKERS = 5
_MOST_TRIALS = 128
"""Trials that are compared with each other, nearest to the limit first."""

_ENOUGH = 0.5
"""Share of the whole sensitivity that the ops named hold together, unless they would be too many."""

_LARGEST_MOVE = 0.25
"""Moves of more than this share of the units say too little of each of them."""

_PREFERRED = (Need.SENSITIVITY, Need.LOCAL_ERROR, Need.CURVATURE)


@dataclass(frozen=True)
class Blocker:
    """One op, or some that were moved together, and the evidence against them.

    Attributes:
        units: Unit ids in execution order.
        type: Their op types, joined by ``+``.
        sensitivity: What was found for them; None without findings.
        share: Its share of what was found for all units that the nearest plan quantizes.
        won: Loss won when they were moved to float, in the criterion's unit; None where no two trials show it.
        trials: Numbers of these two trials, before and after.
        floating: Whether the nearest plan leaves them float already.
    """

    units: tuple[str, ...]
    type: str
    sensitivity: float | None = None
    share: float | None = None
    won: float | None = None
    trials: tuple[int, int] | None = None
    floating: bool = False


@dataclass(frozen=True)
class Obstacles:
    """What stood in the way of a plan that keeps the limit and is better than fp32.

    Attributes:
        nearest: Number of the trial that came nearest, among those better than fp32 where there are any.
        best_loss: Its worst metric, with interval.
        need: What the sensitivities of `blocking` are; None without findings.
        blocking: Worst first; empty where the nearest plan keeps the limit and only is no gain.
        advice: What would help, most promising first, each for a reason that was measured.
    """

    nearest: int
    best_loss: MetricScore
    need: Need | None
    blocking: tuple[Blocker, ...]
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {
            "nearest": self.nearest,
            "best_loss": self.best_loss.to_json(),
            "need": None if self.need is None else str(self.need),
            "blocking": [
                {**asdict(b), "units": list(b.units), "trials": b.trials and [*b.trials]} for b in self.blocking
            ],
            "advice": list(self.advice),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Obstacles:
        """Rebuild from `to_json`."""
        blocking = (
            Blocker(**{**b, "units": tuple(b["units"]), "trials": b["trials"] and (b["trials"][0], b["trials"][1])})
            for b in data["blocking"]
        )
        need = None if data["need"] is None else Need(data["need"])
        score = MetricScore.from_json(data["best_loss"])
        return cls(data["nearest"], score, need, tuple(blocking), tuple(data["advice"]))


def obstacles(
    trials: Sequence[Trial],
    space: Space,
    table: CapabilityTable,
    findings: Sequence[Findings],
    criteria: Sequence[Criterion],
    *,
    unfinished: bool = False,
    calibration_samples: int | None = None,
) -> Obstacles | None:
    """What stood in the way; None when no quantized plan was scored. Pure.

    Args:
        trials: All finished trials.
        space: What was searched.
        table: What there was before the job's rules.
        findings: What the strategy asked to be measured.
        criteria: The promise.
        unfinished: Whether the search ended for want of budget.
        calibration_samples: Samples that fixed ranges; None where none were needed.
    """
    scored = [t for t in trials if t.plan.precisions and t.state is TrialState.COMPLETE and t.scores]
    nearest = _nearest(scored)
    if nearest is None:
        return None
    worst = max(range(len(criteria)), key=lambda i: _beyond(nearest.scores[i]))
    found = _best_findings(findings)
    values = found.values if found is not None else {}
    quantized = [u for u in space.units if not nearest.plan[u.ops[0].id].is_float]
    moves = _moves(scored, space, worst)
    kept = all(score.met for score in nearest.scores)  # then no op's error is in the way: what lacks is the gain
    blocking = () if kept else _sensitive(quantized, values, moves) or _moved(moves, nearest, space)
    evidence = Evidence(
        scored, space, table, criteria[worst], nearest, nearest.scores[worst], values, unfinished, calibration_samples
    )
    return Obstacles(
        nearest.number,
        nearest.scores[worst],
        found.inquiry.need if found else None,
        blocking,
        advice(evidence, quantized),
    )


@dataclass(frozen=True)
class _Move:
    """Two trials that differ in units moved to float."""

    units: tuple[str, ...]
    won: float
    trials: tuple[int, int]


def _nearest(scored: Sequence[Trial]) -> Trial | None:
    """Nearest to the limit: better than fp32 before the others, and scored in full, which nothing far from it is.

    Of those that were decided after a few samples the loss is known to a bound at best: their divergence orders them.
    """

    def rank(trial: Trial) -> tuple[float, ...]:
        gainless = trial.objective is not None and trial.objective >= 1
        divergence = math.inf if trial.divergence is None or math.isnan(trial.divergence) else trial.divergence
        return gainless, not trial.full, trial.excess if trial.full else divergence, trial.excess, trial.number

    return min(scored, key=rank, default=None)


def _comparable(before: MetricScore, after: MetricScore) -> bool:
    """Whether a difference of two losses means something: the same samples, or intervals apart."""
    return before.samples == after.samples or before.loss.low > after.loss.high


def _beyond(score: MetricScore) -> float:
    value = score.loss.value
    return math.inf if math.isnan(value) else (value - score.limit) / max(score.limit, 1e-3)


def _best_findings(findings: Sequence[Findings]) -> Findings | None:
    """The findings that say most of the final output; of several of a kind, those of most units."""
    known = [f for f in findings if f.values]
    return min(known, key=lambda f: (_PREFERRED.index(f.inquiry.need), -len(f.values)), default=None)


def _sensitive(quantized: Sequence[Unit], values: Mapping[str, float], moves: Sequence[_Move]) -> tuple[Blocker, ...]:
    """The units of the nearest plan whose quantization costs most, until they hold half of it together."""
    known = sorted((u for u in quantized if values.get(u.id, 0.0) > 0), key=lambda u: -values[u.id])
    total = math.fsum(values[u.id] for u in known)
    blocking: list[Blocker] = []
    held = 0.0
    for unit in known[:_MOST_BLOCKERS]:
        if held >= _ENOUGH:
            break
        share = values[unit.id] / total if math.isfinite(total) else 1.0
        held += share
        move = next((m for m in moves if m.units == (unit.id,)), None)
        won, trials = (move.won, move.trials) if move is not None else (None, None)
        blocking.append(Blocker((unit.id,), unit.type, values[unit.id], share, won, trials))
    return tuple(blocking)


def _moved(moves: Sequence[_Move], nearest: Trial, space: Space) -> tuple[Blocker, ...]:
    """What won most per unit when it was moved to float, no unit named twice."""
    named: set[str] = set()
    blocking: list[Blocker] = []
    for move in moves:
        if len(blocking) < _MOST_BLOCKERS and named.isdisjoint(move.units):
            named.update(move.units)
            units = [space.by_id[u] for u in move.units]
            kinds = "+".join(dict.fromkeys(u.type for u in units))
            floating = all(nearest.plan[op.id].is_float for u in units for op in u.ops)
            blocking.append(Blocker(move.units, kinds, won=move.won, trials=move.trials, floating=floating))
    return tuple(blocking)


def _moves(scored: Sequence[Trial], space: Space, metric: int) -> list[_Move]:
    """Pairs of trials that differ in few units, which are float in the second; best per unit first."""
    known: list[tuple[Trial, dict[str, int]]] = []
    for trial in sorted(scored, key=lambda t: (t.excess, t.number))[:_MOST_TRIALS]:
        try:
            known.append((trial, space.choices(trial.plan)))
        except ConfigError:
            continue  # a plan of an earlier job with other rules
    choices: NDArray[np.intp] = np.array([[c[u.id] for u in space.units] for _, c in known], dtype=np.intp)
    floats = np.array([-1 if u.float_index is None else u.float_index for u in space.units], dtype=np.intp)
    most = max(1, round(_LARGEST_MOVE * len(space.units)))
    found: list[_Move] = []
    for i, (before, _) in enumerate(known):
        differ = choices != choices[i]
        only_floats = ~(differ & (choices != floats)).any(axis=1)
        count = differ.sum(axis=1)
        for j in np.flatnonzero(only_floats & (count > 0) & (count <= most)):
            after = known[int(j)][0]
            won = before.scores[metric].loss.value - after.scores[metric].loss.value
            told = math.isfinite(won) and won > 0 and _comparable(before.scores[metric], after.scores[metric])
            if told and after.plan.recipes == before.plan.recipes:
                units = tuple(space.units[k].id for k in np.flatnonzero(differ[j]))
                found.append(_Move(units, won, (before.number, after.number)))
    return sorted(found, key=lambda m: (-m.won / len(m.units), m.trials))
