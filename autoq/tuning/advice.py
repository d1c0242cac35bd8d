"""What would help where no plan keeps the limit: each piece of advice has a measured reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoq.core.capability import CapabilityTable
from autoq.core.criterion import Criterion, Tolerance
from autoq.core.precision import Granularity, Mode, Observer, OpPrecision
from autoq.core.space import Space, Unit
from autoq.core.trial import MetricScore, Trial

_FEW_CALIBRATION_SAMPLES = 32
_RANGES_MATTER = 2.0
"""Ratio between the errors of two ways to choose ranges from which on the ranges are a problem of their own."""

_FEW_UNITS = 0.1
_MOST_OF_IT = 0.5
"""Few ops dominate: this share of them holds that share of the sensitivity."""

_NO_GAIN = (
    "Accuracy is not in the way: plans keep the limit, and are no gain over fp32. A larger limit or training would not "
    "change that; another batch size, another objective or another framework may."
)

_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul", "Linear", "ConvTranspose"})


@dataclass(frozen=True)
class Evidence:
    """What advice is drawn from.

    Attributes:
        trials: Scored trials of quantized plans.
        space: What was searched.
        table: What there was before the job's rules.
        criterion: That of the metric that loses most.
        nearest: The trial nearest to the limit.
        score: Its score on that metric.
        values: What quantizing each unit does, by unit id; empty without findings.
        unfinished: Whether the search ended for want of budget.
        calibration_samples: Samples that fixed ranges; None where none were needed.
    """

    trials: Sequence[Trial]
    space: Space
    table: CapabilityTable
    criterion: Criterion
    nearest: Trial
    score: MetricScore
    values: Mapping[str, float]
    unfinished: bool
    calibration_samples: int | None


def advice(evidence: Evidence, quantized: Sequence[Unit]) -> tuple[str, ...]:
    """What would help, cheapest first.

    Args:
        evidence: What was measured.
        quantized: The units that the nearest plan quantizes.
    """
    if all(score.met for score in evidence.nearest.scores):
        return tuple(s for s in (_longer(evidence), _NO_GAIN) if s)
    said = (
        _longer(evidence),
        *_left_out(evidence, quantized),
        _float_forbidden(quantized),
        _calibration(evidence),
        _more_samples(evidence),
        _training(evidence, quantized),
    )
    return tuple(s for s in said if s)


def _longer(evidence: Evidence) -> str:
    if not evidence.unfinished:
        return ""
    return "The search did not come to its end: give it a larger budget (tuning.exit_policy) and go on with --resume."


def _left_out(evidence: Evidence, quantized: Sequence[Unit]) -> list[str]:
    """What the model has here and the job's rules leave out, for ops that the nearest plan quantizes."""
    ids = {op.id for unit in quantized for op in unit.ops}
    offered = [row.precisions for row in evidence.table if row.op.id in ids]
    searched = [unit.precisions for unit in quantized]
    said = []
    count = sum(any(map(_per_channel, precisions)) for precisions in offered)
    if count and not any(_per_channel(p) for precisions in searched for p in precisions):
        said.append(
            f"{count} of these ops can have per-channel weights, which the job's rules leave out: "
            "allow granularity per_channel."
        )
    missing = sorted({o for p in offered for o in _observers(p)} - {o for p in searched for o in _observers(p)})
    if missing:
        said.append(f"The job's rules leave out other ways to choose ranges: allow observer {', '.join(missing)}.")
    modes = [{p.mode for p in precisions} for precisions in offered]
    used = {p.mode for precisions in searched for p in precisions}
    for mode in (Mode.DYNAMIC, Mode.WEIGHT_ONLY):
        count = sum(mode in have for have in modes)
        if count and mode not in used:
            said.append(
                f"{count} of these ops can run in mode {mode}, which the job's approach leaves out and which "
                "quantizes activations more finely or not at all: allow it."
            )
    return said


def _float_forbidden(quantized: Sequence[Unit]) -> str:
    count = sum(unit.float_index is None for unit in quantized)
    return f"The job forbids float for {count} ops: allow fallback there." if count else ""


def _calibration(evidence: Evidence) -> str:
    """Ranges are a problem where the way to choose them changes much, or few samples were seen."""
    samples = evidence.calibration_samples
    if samples is None:
        return ""
    more = f"more than {samples} calibration samples, of every kind the model will see"
    best = _error_by_observer(evidence)
    if len(best) > 1:
        (least, good), (most, bad) = (pick(best.items(), key=lambda item: item[1]) for pick in (min, max))
        if bad[0] > _RANGES_MATTER * good[0]:
            return (
                f"How ranges are chosen matters much here: the outputs' error is {good[0]:.2g} with {least} "
                f"(trial {good[1]}) and {bad[0]:.2g} with {most} (trial {bad[1]}). Give {more}."
            )
    if samples < _FEW_CALIBRATION_SAMPLES:
        return f"Ranges rest on few samples: give {more}."
    return ""


def _error_by_observer(evidence: Evidence) -> dict[Observer, tuple[float, int]]:
    """Smallest divergence of the plans that quantize all they can with one observer, and whose trial it was."""
    units = [u for u in evidence.space.units if u.is_quantizable]
    best: dict[Observer, tuple[float, int]] = {}
    for trial in evidence.trials:
        if trial.divergence is None or not math.isfinite(trial.divergence) or trial.plan.recipes:
            continue
        chosen = [trial.plan[u.ops[0].id] for u in units]
        used = {o for p in chosen for o in _observers([p])}
        if len(used) == 1 and not any(p.is_float for p in chosen):
            (observer,) = used
            best[observer] = min(best.get(observer, (math.inf, -1)), (trial.divergence, trial.number))
    return best


def _more_samples(evidence: Evidence) -> str:
    loss, limit = evidence.score.loss, evidence.score.limit
    if not (evidence.nearest.full and loss.low <= limit < loss.high):
        return ""
    relative = evidence.criterion.tolerance is Tolerance.RELATIVE
    low, high = (f"{100 * x:.2f} %" if relative else f"{x:.4g}" for x in (loss.low, loss.high))
    return (
        f"The nearest plan may keep the limit on other samples (its loss lies between {low} and {high}): "
        "a larger evaluation set tells."
    )


def _training(evidence: Evidence, quantized: Sequence[Unit]) -> str:
    """What helps beyond choosing precisions depends on whether few ops are at fault."""
    known = sorted(((v, u) for u in quantized if (v := evidence.values.get(u.id, 0.0)) > 0), key=lambda p: -p[0])
    total = math.fsum(v for v, _ in known)
    few = known[: max(1, round(_FEW_UNITS * len(known)))]
    if not known or not math.isfinite(total):
        return ""
    held = math.fsum(v for v, _ in few) / total
    if held < _MOST_OF_IT:
        return (
            "No few ops are at fault: the error is spread over the network, and moving ops to float wins accuracy only "
            "at the price of speed. Quantization-aware training changes that, or a larger limit."
        )
    weighted = any(part.split(".")[0] in _WEIGHTED for _, u in few for part in u.type.split("+"))
    equalize = "equalize their weights across layers (cross-layer equalization), or train" if weighted else "train"
    ops = few[0][1].id if len(few) == 1 else f"{len(few)} ops"
    return (
        f"{ops} of {len(known)} hold {100 * held:.0f} % of what quantization does to the outputs: {equalize} the model "
        "with quantization in the loop (quantization-aware training)."
    )


def _per_channel(precision: OpPrecision) -> bool:
    return precision.weight is not None and precision.weight.granularity is Granularity.PER_CHANNEL


def _observers(precisions: Iterable[OpPrecision]) -> set[Observer]:
    return {p.activation.observer for p in precisions if p.mode is Mode.STATIC and p.activation is not None}
