"""`autoq inspect JOB --sensitivity`: what quantizing each op does, and what it saves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from autoq.cli.console import console, error_console
from autoq.config.schema import Job
from autoq.core.errors import ConfigError, UnsupportedError
from autoq.core.inquiry import Need
from autoq.core.space import match_names
from autoq.core.task import Progress
from autoq.report.sensitivity import MEANING, NAMES, Sensitivities, UnitEffect
from autoq.report.text import milliseconds, number, percent

_STEPS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_BAR = 20
_WIDE = 120
"""Columns from which on an op's type and place and the bars are shown; below them the names would have no room."""


def show_sensitivity(
    job: Job, need: Need, seconds: float, *, pattern: str | None, limit: int, as_json: bool, html: Path | None
) -> None:
    """Measure and print.

    Args:
        job: The job, whose data and rules are used.
        need: What to measure.
        seconds: For the measurement at most.
        pattern: Only ops of this name or type.
        limit: Ops to print; 0 for all.
        as_json: Print JSON.
        html: Where to write a page, or None.

    Raises:
        ConfigError: The page's folder is missing, or the pattern matches nothing.
        UnsupportedError: This cannot be measured here.
        AutoqError: Model or data cannot be used.
    """
    from autoq.run import sense_job

    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigError(f"the folder of {html} does not exist", where="--html", hint="make it first")
    with _Bars(hidden=as_json) as bars:
        sensed = sense_job(job, need, seconds, bars.progress)
    found = Sensitivities.of(sensed.space, sensed.costs, sensed.findings)
    if not found.measured:
        raise UnsupportedError(
            f"{NAMES[need]} could not be measured: {found.reason}",
            hint="allow more --seconds" if need is Need.SENSITIVITY else "--need sensitivity is for every framework",
        )
    rows = _chosen(found, pattern)
    if html is not None:
        from autoq.report.effects_page import write_effects_page

        write_effects_page(job.model.name, found, html)
    if as_json:
        console.print_json(data=_as_data(job, found, rows))
        return
    _print(found, rows if limit == 0 else rows[:limit], len(rows))
    if html is not None:
        console.print(f"chart: {html}", highlight=False, markup=False, soft_wrap=True)


def _chosen(found: Sensitivities, pattern: str | None) -> Sequence[UnitEffect]:
    if pattern is None:
        return found.ranked
    kinds = {e.type for e in found.effects}
    names = match_names(pattern, [*kinds, *(e.unit for e in found.effects)], "op")
    return [e for e in found.ranked if e.unit in names or e.type in names]


def _as_data(job: Job, found: Sensitivities, rows: Sequence[UnitEffect]) -> dict[str, Any]:
    return {
        "model": job.model.name,
        "framework": job.model.framework,
        "need": str(found.need),
        "reason": found.reason,
        "standing_out": [*found.standing_out()],
        "ops": [
            {
                "op": e.unit,
                "type": e.type,
                "place": e.place,
                "value": e.value,
                "saved_seconds": e.saved,
                "share_of_latency_saved": found.share_saved(e),
                "value_per_saved_ms": e.per_millisecond,
            }
            for e in rows
        ],
    }


def _print(found: Sensitivities, rows: Sequence[UnitEffect], count: int) -> None:
    name = NAMES[found.need]
    console.print(f"{name}: {MEANING[found.need]}", highlight=False, markup=False)
    console.print()
    worst = max((e.value for e in found.measured if e.value is not None and math.isfinite(e.value)), default=0.0)
    wide = console.width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("op", overflow="fold", min_width=16)
    if wide:
        table.add_column("type")
        table.add_column("place", justify="right")
    table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("", no_wrap=True)
    for heading in ("saves", "of all saved", "per ms saved"):
        table.add_column(heading, justify="right", no_wrap=True)
    for e in rows:
        table.add_row(
            Text(e.unit),
            *([Text(e.type), Text(str(e.place))] if wide else []),
            number(e.value),
            *([Text(bar(e.value, worst), style="red")] if wide else []),
            milliseconds(e.saved) if e.saved is None or e.saved >= 0 else f"costs {milliseconds(-e.saved)}",
            percent(found.share_saved(e)),
            number(e.per_millisecond),
        )
    console.print(table)
    if len(rows) < count:
        console.print(f"… and {count - len(rows)} more; --limit 0 shows all", style="dim", highlight=False)
    console.print()
    console.print(f"along the network: {sparkline(found.effects, max(console.width - 20, 10))}", highlight=False)
    if found.standing_out():
        console.print(f"where it lies: {'; '.join(found.standing_out())}", highlight=False, markup=False)
    if found.reason:
        console.print(found.reason, style="yellow", highlight=False, markup=False)


def bar(value: float | None, worst: float) -> str:
    """A bar of a share of the worst value, in eighths of a column."""
    if value is None or worst <= 0 or math.isnan(value):
        return ""
    eighths = round(8 * _BAR * min(max(value / worst, 0.0), 1.0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(effects: Sequence[UnitEffect], width: int) -> str:
    """Values in execution order as a line of blocks: the worst of neighbours where there are more than `width`."""
    per_block = max(1, math.ceil(len(effects) / width))
    finite = [0.0 if e.value is None or not math.isfinite(e.value) else max(e.value, 0.0) for e in effects]
    worst = [max(finite[i : i + per_block]) for i in range(0, len(finite), per_block)]
    top = math.sqrt(max(worst, default=0.0))
    return "".join(_STEPS[round((len(_STEPS) - 1) * math.sqrt(v) / top)] if top > 0 else _STEPS[0] for v in worst)


class _Bars:
    """A bar for each phase, on the terminal of errors so that what is printed can be read by scripts."""

    def __init__(self, *, hidden: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar = ProgressBar(*columns, console=error_console, transient=True, disable=hidden)
        self._tasks: dict[str, TaskID] = {}
        self._open = ExitStack()

    def __enter__(self) -> _Bars:
        self._open.enter_context(self._bar)
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def progress(self, progress: Progress) -> None:
        """The running task got further."""
        name = progress.phase.replace("_", " ")
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=progress.total)
        self._bar.update(self._tasks[name], completed=progress.done, total=progress.total)
