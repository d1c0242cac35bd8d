"""What a tuning run looks like while it runs: phase, trials, the best so far, time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autoq.cli.words import accuracy_text, loss_text
from autoq.core.budget import Budget
from autoq.core.space import Space
from autoq.core.task import Description, Progress, Split
from autoq.core.trial import Trial
from autoq.report.text import duration, latency_ratio, samples_text, size, trial_verdict

_ROWS = 12
_WIDE = 120
"""Columns from which on a trial's size and what it tries are shown."""

PHASES = {
    "load": "Loading model and data",
    "baseline": "Scoring fp32",
    "calibrate": "Calibrating",
    "rivals": "Trying what needs no quantization",
    "search": "Searching",
    "finalists": "Measuring the finalists",
    "front": "Scoring the Pareto front",
    "verdict": "Scoring held-out samples",
    "deployment": "Scoring the exported model where it will run",
    "memory": "Measuring memory",
    "save": "Saving",
    "stopping": "Stopping and saving the best so far; Ctrl-C again quits at once",
}

TASKS = {
    "calibrate": "calibration samples",
    "evaluate": "samples",
    "compile": "compiling",
    "sensitivity": "ops: what each one alone does to the output",
    "local_error": "samples: each op's own error",
    "curvature": "samples: curvature of the loss",
}
"""What a task counts, by the phase its progress names."""

_SENSING = ("sensitivity", "local_error", "curvature")


class LiveView:
    """A listener that draws on a terminal, or prints one line a trial where there is none."""

    def __init__(self, console: Console, name: str, budget: Budget) -> None:
        self._console = console
        self._name = name
        self._budget = budget
        self._started = time.monotonic()
        self._budget_started: float | None = None
        self._search_started: float | None = None
        self._phase = "load"
        self._progress: Progress | None = None
        self._sensing = ""
        self._samples = 0
        self._trials: list[Trial] = []
        self._best: Trial | None = None
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def phase(self, name: str) -> None:
        """A phase begins. Once it is stopping, the few seconds left are not told apart any more."""
        if self._phase == "stopping":
            return
        self._phase, self._progress = name, None
        now = time.monotonic()
        if name == "search":
            self._search_started = now
        if name in ("rivals", "search") and self._budget_started is None:
            self._budget_started = now
        self._say(f"{PHASES.get(name, name)} …")

    def progress(self, progress: Progress) -> None:
        """The running task got further. Questions of the strategy are announced once where there is no terminal."""
        self._progress = progress
        if progress.phase in _SENSING and progress.phase != self._sensing:
            self._say(f"Measuring {progress.total or '?'} {TASKS[progress.phase]} …")
        self._sensing = progress.phase if progress.phase in _SENSING else ""

    def opened(self, description: Description, space: Space) -> None:
        """Model and data are known."""
        self._samples = description.samples.get(Split.TUNE, 0)
        samples = ", ".join(f"{count} {split}" for split, count in description.samples.items() if count)
        self._say(
            f"{len(description.table)} ops, {len(space.units)} with a choice, {_plans(space.size)} plans; "
            f"samples: {samples}; model {size(description.size_bytes)}"
        )

    def trial(self, trial: Trial) -> None:
        """A trial ended."""
        self._trials.append(trial)
        if trial.proposal.deployed and self._best is not None and trial.plan == self._best.plan:
            self._best = None  # what it was on the reference counts no more
        if (
            trial.accepted
            and trial.objective is not None
            and (self._best is None or trial.objective < (self._best.objective or 1.0))
        ):
            self._best = trial
        if not self._console.is_terminal:
            self._say(
                f"trial {trial.number:>3}  {accuracy_text(trial):<28} {latency_ratio(trial.latency):<24} "
                f"{size(trial.size_bytes):>9}  {self._verdict(trial)}  {_what(trial)}"
            )

    def _say(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [self._headline(), self._bar()]
        if self._trials:
            parts.append(self._table())
        return Group(*parts)

    def _headline(self) -> Text:
        elapsed = time.monotonic() - self._started
        text = Text.assemble((self._name, "bold"), "  ", (PHASES.get(self._phase, self._phase), "cyan"))
        text.append(f"  {duration(elapsed)} elapsed")
        left = self._time_left()
        if left is not None:
            text.append(f", at most {duration(left)} of search left")
        return text

    def _time_left(self) -> float | None:
        if self._phase != "search" or self._search_started is None or self._budget_started is None:
            return None
        now = time.monotonic()
        spent, searched = now - self._search_started, sum(not t.plan.is_rival for t in self._trials) - 1
        bounds = []
        if self._budget.timeout is not None:
            bounds.append(self._budget.timeout - (now - self._budget_started))
        if self._budget.max_trials is not None and searched > 0:
            bounds.append((self._budget.max_trials - searched) * spent / searched)
        return max(min(bounds), 0.0) if bounds else None

    def _bar(self) -> RenderableType:
        progress = self._progress
        if progress is None:
            return Text("")
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=progress.total, completed=progress.done, width=40, pulse=progress.total is None)
        grid.add_row(bar, f"{progress.done}/{progress.total or '?'}", TASKS.get(progress.phase, progress.phase))
        return grid

    def _verdict(self, trial: Trial) -> str:
        verdict = trial_verdict(trial)
        return f"{verdict}, {samples_text(trial, self._samples)}" if trial.decided and self._samples else verdict

    def _table(self) -> Table:
        wide = self._console.width >= _WIDE
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("trial", *(("what", "accuracy") if wide else ("loss",)), "latency / fp32"):
            table.add_column(heading, justify="right" if heading == "trial" else "left", no_wrap=heading != "what")
        if wide:
            table.add_column("size", justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        # What does not fit on the screen would be cut off below, where the latest trials are.
        lines = max(len(self._trials[0].scores), 1)
        shown = self._trials[-max(1, min(_ROWS, (self._console.height - 5) // lines)) :]
        if self._best is not None and self._best not in shown:
            shown = [self._best, *shown[1:]]
        for trial in shown:
            style = "bold green" if trial is self._best else "dim" if trial.failure else ""
            table.add_row(
                str(trial.number),
                *((_what(trial), accuracy_text(trial, "\n")) if wide else (loss_text(trial),)),
                latency_ratio(trial.latency),
                *([size(trial.size_bytes)] if wide else []),
                self._verdict(trial) if wide else trial_verdict(trial),
                style=style,
            )
        return table


def _what(trial: Trial) -> str:
    """What a trial tries, and what it had to compile for it."""
    compiled = trial.seconds.get("compile")
    return trial.proposal.note if compiled is None else f"{trial.proposal.note} (compile {duration(compiled)})"


def _plans(count: int) -> str:
    return f"{count:,}" if count < 10**6 else f"{float(count):.1e}" if count < 10**300 else "more than 1e300"
