"""The answer in short: was the promise kept, with what certainty, and what was won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autoq.core.criterion import Criterion
from autoq.core.interval import Interval
from autoq.core.objective import Objective, Quantity
from autoq.core.trial import Latency, MetricScore, Trial
from autoq.report.naming import baseline_name, compiled_fp32, rival_label
from autoq.report.text import factor, is_bound, join, limit_text, loss_phrase


class Answer(StrEnum):
    """What a job may end with.

    `ACCEPTED`: a better model that keeps the promise. `NO_GAIN`: the promise can be kept, but fp32 is as good.
    `NOT_KEPT`: no plan keeps it. `NOTHING_TRIED`: the search ended before a plan was scored in full.
    """

    ACCEPTED = "accepted"
    NO_GAIN = "no_gain"
    NOT_KEPT = "not_kept"
    NOTHING_TRIED = "nothing_tried"


@dataclass(frozen=True)
class HeldOutResult:
    """The verdict on samples the search never saw.

    Attributes:
        scores: One per metric.
        verdict: ``confirmed``, ``not_confirmed`` or ``undecided``.
    """

    scores: tuple[MetricScore, ...]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {"scores": [s.to_json() for s in self.scores], "verdict": self.verdict}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HeldOutResult:
        """Rebuild from `to_json`."""
        return cls(tuple(MetricScore.from_json(s) for s in data["scores"]), data["verdict"])


@dataclass(frozen=True)
class Verdict:
    """The answer in short.

    Attributes:
        answer: Which of the four.
        sentence: In one sentence.
        promise: The criteria, in words.
        held_out: ``confirmed``, ``not_confirmed``, ``undecided``, or ``none`` without such data.
        speedup: fp32's latency divided by the shown trial's, with interval; None when not measured.
    """

    answer: Answer
    sentence: str
    promise: str
    held_out: str
    speedup: Interval | None

    @property
    def accepted(self) -> bool:
        """True when a better model that keeps the promise was found."""
        return self.answer is Answer.ACCEPTED

    def to_json(self) -> dict[str, Any]:
        """Plain data, for readers of `report.json`; a document computes it anew."""
        return {
            "accepted": self.accepted,
            "answer": str(self.answer),
            "sentence": self.sentence,
            "promise": self.promise,
            "held_out": self.held_out,
            "speedup": self.speedup.to_json() if self.speedup is not None else None,
        }


def verdict_of(
    criteria: Sequence[Criterion],
    objective: Objective,
    trials: Sequence[Trial],
    shown: Trial | None,
    accepted: bool,
    held_out: HeldOutResult | None,
) -> Verdict:
    """The answer of a job; see `Verdict`.

    Args:
        criteria: The promise.
        objective: What was made small.
        trials: All finished trials.
        shown: The trial to hand over, or else the one that came nearest, with its careful latency.
        accepted: Whether `shown` is handed over.
        held_out: What the held-out samples say of `shown`.
    """
    answer = Answer.ACCEPTED if accepted else _unaccepted(trials, shown)
    return Verdict(
        answer,
        _sentence(answer, criteria, objective, trials, shown),
        join(f"{c.metric} may lose at most {limit_text(c)}" for c in criteria),
        held_out.verdict if held_out is not None else "none",
        _speedup(shown.latency) if shown is not None else None,
    )


def _unaccepted(trials: Sequence[Trial], shown: Trial | None) -> Answer:
    if shown is not None and shown.accepted:
        return Answer.NO_GAIN
    return Answer.NOT_KEPT if _quantized(trials) else Answer.NOTHING_TRIED


def _quantized(trials: Sequence[Trial]) -> list[Trial]:
    return [t for t in trials if t.plan.precisions]


def _sentence(
    answer: Answer, criteria: Sequence[Criterion], objective: Objective, trials: Sequence[Trial], shown: Trial | None
) -> str:
    tried, base = len(_quantized(trials)), baseline_name(trials)
    if answer is Answer.ACCEPTED and shown is not None:
        gain, losses = _gain(objective, trials, shown, base), _losses(criteria, shown)
        if shown.plan.is_rival:
            return f"Promise kept, and best without quantizing: {rival_label(shown)} is {gain}, {losses}."
        return f"Promise kept: {gain}, {losses}."
    if answer is Answer.NO_GAIN:
        return f"fp32 is the answer: plans keep the promise, but none is better than {base} in {_aim(objective)}."
    if answer is Answer.NOT_KEPT:
        nearest = f"; the nearest {_losses(criteria, shown, past=True)}" if shown is not None and shown.scores else ""
        plans = "the plan tried does not keep" if tried == 1 else f"none of {tried} trials keeps"
        return f"fp32 is the answer: {plans} the promise{nearest}."
    return "fp32 is the answer: the search ended before a plan was tried."


def _losses(criteria: Sequence[Criterion], trial: Trial, *, past: bool = False) -> str:
    def about(loss: Interval) -> str:
        return "" if not trial.decided else "at least " if is_bound(loss) else "about "

    return join(
        f"{loss_phrase(c, s.loss.value, s.metric, past=past, about=about(s.loss))} "
        f"({'limit' if s.loss.value > 0 else 'it may lose'} {limit_text(c)})"
        for c, s in zip(criteria, trial.scores, strict=True)
    )


def _gain(objective: Objective, trials: Sequence[Trial], trial: Trial, base: str) -> str:
    """What was won, of the quantities that count; latency is always told where it was measured."""
    size = next((t.size_bytes for t in trials if t.number == 0), None)
    found = []
    if trial.latency is not None and not trial.latency.estimated:
        ratio = trial.latency.ratio.value
        found.append(f"{factor(1 / ratio)} as fast as {base}" if ratio > 0 else f"faster than {base}")
        compiled = compiled_fp32(trials)
        if ratio > 0 and compiled is not None and compiled.latency is not None and compiled.plan != trial.plan:
            found[-1] += f" ({factor(compiled.latency.ratio.value / ratio)} as fast as compiled fp32)"
    if (Quantity.SIZE in objective.quantities or not found) and size and trial.size_bytes:
        found.append(f"{factor(size / trial.size_bytes)} smaller")
    return join(found) or f"better than {base}"


def _aim(objective: Objective) -> str:
    return join("speed" if q in (Quantity.LATENCY, Quantity.THROUGHPUT) else str(q) for q in objective.quantities)


def _speedup(latency: Latency | None) -> Interval | None:
    if latency is None or latency.estimated or min(latency.ratio.low, latency.ratio.value) <= 0:
        return None
    ratio = latency.ratio
    return Interval(1 / ratio.value, 1 / ratio.high, 1 / ratio.low, ratio.confidence)
