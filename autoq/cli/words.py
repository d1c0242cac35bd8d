"""Numbers as people read them, the same in every command."""

from __future__ import annotations

from autoq.core.interval import Interval
from autoq.core.trial import Latency, Trial


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size_text(count: int | None) -> str:
    """Bytes in the unit that fits."""
    if count is None:
        return "–"
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"


def interval_text(interval: Interval, *, percent: bool = False) -> str:
    """``0.64 [0.62, 0.66]``."""
    if percent:
        return f"{100 * interval.value:.2f} % [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def latency_text(latency: Latency | None) -> str:
    """The ratio to fp32 with its interval, or a dash."""
    return interval_text(latency.ratio) if latency is not None else "–"


def accuracy_text(trial: Trial) -> str:
    """Each metric's score, and its loss with interval."""
    if not trial.scores:
        return "–"
    if trial.number == 0:
        return "; ".join(f"{s.metric} {s.value:.4f}" for s in trial.scores)
    return "; ".join(
        f"{s.metric} {s.value:.4f}, loss {s.loss.value:+.4f} [{s.loss.low:+.4f}, {s.loss.high:+.4f}]"
        for s in trial.scores
    )


def verdict_text(trial: Trial) -> str:
    """What became of a trial, in a word or two."""
    if trial.failure is not None:
        return f"{trial.state} ({trial.failure.kind})"
    if trial.number == 0:
        return "baseline"
    if not trial.met:
        return "loses too much"
    if not trial.full:
        return "passes screening"
    return "accepted" if trial.objective is None or trial.objective < 1 else "accepted, no gain"
