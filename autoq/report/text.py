"""Numbers and words as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from autoq.core.criterion import Criterion, Tolerance
from autoq.core.interval import Interval
from autoq.core.objective import Quantity
from autoq.core.trial import FailureKind, Latency, MetricScore, Trial

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def number(value: float | None, digits: int = 3) -> str:
    """A few significant digits, never in scientific notation between a millionth and a million."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else ("∞" if value > 0 else f"{MINUS}∞")
    if value != 0 and not 1e-6 <= abs(value) < 1e6:
        text = f"{value:.{digits - 1}e}"
    else:
        decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
        text = f"{value:,.{max(decimals, 0)}f}"
        if float(text.replace(",", "")) == 0:
            text = "0"
    return text.replace("-", MINUS)


def score(value: float) -> str:
    """A metric's value with four digits after the point, or significant digits where it is large."""
    return f"{value:.4f}".replace("-", MINUS) if abs(value) < 100 else number(value, 5)


def score_with_interval(value: float, interval: Interval | None) -> str:
    """``0.7833 [0.7333, 0.8264]``; the value alone where it is certain or nothing is known."""
    if interval is None or interval.low == interval.high:
        return score(value)
    return f"{score(value)} [{score(interval.low)}, {score(interval.high)}]"


def trial_score(found: MetricScore, *, full: bool) -> str:
    """A trial's score; beside it fp32's on the same samples where these are not all."""
    return score(found.value) if full else f"{score(found.value)} (fp32 {score(found.baseline)})"


def fixed(value: float, decimals: int) -> str:
    """So many decimals, with a true minus and without a negative zero."""
    text = f"{value:.{decimals}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", MINUS) if math.isfinite(value) else number(value)


def factor(value: float) -> str:
    """``2.33×``."""
    return f"{number(value)}×"


def loss_value(criterion: Criterion, value: float) -> str:
    """A loss in the criterion's unit: percent when relative."""
    if not math.isfinite(value):
        return number(value)
    return (
        f"{fixed(100 * value, 2)} %"
        if criterion.tolerance is Tolerance.RELATIVE
        else fixed(value, _decimals(criterion))
    )


def loss_bounds(criterion: Criterion, loss: Interval) -> str:
    """The interval of a loss, e.g. ``[−0.40, 1.07]``; the unit is that of `loss_value`."""
    scale, decimals = (100, 2) if criterion.tolerance is Tolerance.RELATIVE else (1, _decimals(criterion))
    return f"[{fixed(scale * loss.low, decimals)}, {fixed(scale * loss.high, decimals)}]"


def limit_text(criterion: Criterion) -> str:
    """``1 %``, or ``0.02 (absolute)``."""
    if criterion.tolerance is Tolerance.RELATIVE:
        return f"{100 * criterion.limit:.4g} %"
    return f"{criterion.limit:.4g} (absolute)"


def is_bound(loss: Interval) -> bool:
    """Whether a loss is the least it can be: scoring stopped when that was beyond the limit already."""
    return loss.value <= loss.low < loss.high


def loss_phrase(criterion: Criterion, value: float, metric: str, *, past: bool = False, about: str = "") -> str:
    """``losing 0.33 % of top1``, ``gaining about 0.1 % of top1``, ``losing nothing of top1``."""
    shown = loss_value(criterion, abs(value))
    if not any(digit in shown for digit in "123456789∞"):
        return f"{'lost' if past else 'losing'} nothing of {metric}"
    verb = ("lost" if past else "losing") if value > 0 else ("gained" if past else "gaining")
    between = "of" if criterion.tolerance is Tolerance.RELATIVE else "in"
    return f"{verb} {about}{shown} {between} {metric}"


def percent(share: float | None) -> str:
    """``12.3 %``; a dash for None."""
    return NONE if share is None else f"{fixed(100 * share, 1)} %"


def ratio_text(interval: Interval) -> str:
    """``0.429 [0.415, 0.444]``."""
    return f"{fixed(interval.value, 3)} [{fixed(interval.low, 3)}, {fixed(interval.high, 3)}]"


def latency_ratio(latency: Latency | None) -> str:
    """The ratio to fp32 with its interval; ``≈ 0.55 estimated`` where it was not measured; a dash for None."""
    if latency is None:
        return NONE
    return f"≈ {fixed(latency.ratio.value, 2)} estimated" if latency.estimated else ratio_text(latency.ratio)


def milliseconds(seconds: float | None) -> str:
    """``4.81 ms``; seconds from one second on."""
    if seconds is None:
        return NONE
    return f"{number(seconds)} s" if seconds >= 1 else f"{number(1000 * seconds)} ms"


def size(count: int | None) -> str:
    """Bytes in the unit that fits."""
    if count is None:
        return NONE
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{number(count / scale)} {unit}"
    return f"{count} B"


def counted(number: int, thing: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def join(parts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *head, last = [*parts] or [""]
    return f"{', '.join(head)} and {last}" if head else last


def samples_text(trial: Trial, every: int) -> str:
    """``300``, ``decided after 24 of 300``, ``64 (screening)``; a dash without scores.

    Args:
        trial: The trial.
        every: Samples of the tune split.
    """
    if not trial.scores:
        return NONE
    if trial.decided:
        return f"decided after {trial.samples:,} of {every:,}"
    return f"{trial.samples:,}" if trial.full else f"{trial.samples:,} (screening)"


def trial_verdict(trial: Trial) -> str:
    """What became of a trial, in a few words."""
    if trial.failure is not None:
        if trial.failure.kind is FailureKind.CRASH:
            return "crashed"
        return f"{trial.state}: {str(trial.failure.kind).replace('_', ' ')}"
    if trial.number == 0:
        return "baseline"
    if not trial.met:
        return "loses too much"
    if not trial.accepted:
        return "passes screening"
    if trial.reference:
        return "passes on reference"
    return "accepted" if trial.objective is None or trial.objective < 1 else "accepted, no gain"


def objective_text(quantities: Iterable[tuple[Quantity, float]]) -> str:
    """``latency``, or ``latency (weight 2) and size (weight 1)``."""
    listed = [*quantities]
    if len(listed) == 1:
        return str(listed[0][0])
    return join(f"{quantity} (weight {weight:g})" for quantity, weight in listed)


def _decimals(criterion: Criterion) -> int:
    """Enough decimals to tell losses of a hundredth of the limit apart, at least four."""
    if criterion.limit <= 0 or criterion.limit >= 1:
        return 4 if criterion.limit <= 0 else 3
    return max(4, 2 - math.floor(math.log10(criterion.limit)))
