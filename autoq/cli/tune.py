"""`autoq tune`: run a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from autoq.cli.console import console
from autoq.cli.live import LiveView
from autoq.cli.words import duration, interval_text, latency_text, size_text
from autoq.config.loader import load_job
from autoq.config.rules import budget
from autoq.config.schema import Job
from autoq.result import Result

NOT_ACCEPTED = 20
"""Exit status with --require-accepted when the answer is fp32."""


def command(
    job_file: Annotated[Path, typer.Argument(metavar="JOB", help="The job file.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the last run of this job stopped.")] = False,
    workspace: Annotated[Path | None, typer.Option(help="Folder for store, cache and results.")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run trials in this process: a native crash ends the job.")
    ] = False,
    max_trials: Annotated[int | None, typer.Option(min=1, help="Trials at most, in place of the job's.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds of search, in place of the job's.")] = None,
    require_accepted: Annotated[
        bool, typer.Option("--require-accepted", help=f"Exit with {NOT_ACCEPTED} when the answer is fp32.")
    ] = False,
) -> None:
    """Run a job: search, verify, report.

    Ctrl-C ends the search and hands over the best so far; `--resume` goes on later and repeats no finished trial.
    """
    from autoq.run import run_job

    job = _with_options(load_job(job_file), workspace, in_process, max_trials, timeout)
    with LiveView(console, job.model.name, budget(job)) as view:
        result = run_job(job, view, resume=resume, on_start=_say_folder)
    print_result(result)
    if require_accepted and not result.accepted:
        raise typer.Exit(NOT_ACCEPTED)


def print_result(result: Result) -> None:
    """The verdict first, then fp32 and the chosen plan side by side, then where things lie."""
    outcome = result.outcome
    best, base = outcome.best, outcome.baseline
    console.print()
    console.print(result.document.verdict.sentence, style="bold green" if best is not None else "bold yellow")
    shown = best or outcome.attempt
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("fp32")
    table.add_column("chosen" if best is not None else "best attempt, not accepted")
    if shown is not None:
        for score, reference in zip(shown.scores, base.scores, strict=True):
            loss = interval_text(score.loss)
            table.add_row(
                f"{score.metric} ({score.samples} samples)",
                f"{reference.value:.4f}",
                f"{score.value:.4f}   loss {loss}, limit {score.limit:g}",
            )
        if outcome.held_out is not None:
            for score in outcome.held_out.scores:
                table.add_row(
                    f"held out ({score.samples} samples)",
                    f"{score.baseline:.4f}",
                    f"{score.value:.4f}   loss {interval_text(score.loss)}: "
                    + outcome.held_out.verdict.replace("_", " "),
                )
        seconds = base.latency.seconds if base.latency else None
        table.add_row(
            "latency",
            f"{1000 * seconds:.3g} ms" if seconds is not None else "–",
            (f"{1000 * shown.latency.seconds:.3g} ms   × {latency_text(shown.latency)}" if shown.latency else "–"),
        )
        table.add_row("size", size_text(base.size_bytes), size_text(shown.size_bytes))
        if outcome.memory:
            table.add_row("peak memory", size_text(outcome.memory.get("fp32")), size_text(outcome.memory.get("best")))
        console.print(table)
    for note in outcome.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    console.print(
        f"{len(outcome.trials) - 1} trials, {duration(sum(outcome.seconds.values()))}; "
        f"search ended: {outcome.stop_reason}",
        highlight=False,
    )
    console.print(f"report: {result.report()}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"model:  {outcome.model_folder}", highlight=False, soft_wrap=True, markup=False)


def _with_options(
    job: Job, workspace: Path | None, in_process: bool, max_trials: int | None, timeout: float | None
) -> Job:
    tuning, runner = job.tuning, job.runner
    if workspace is not None:
        tuning = tuning.model_copy(update={"workspace": str(workspace.absolute())})
    limits = {k: v for k, v in (("max_trials", max_trials), ("timeout", timeout)) if v is not None}
    if limits:
        tuning = tuning.model_copy(update={"exit_policy": tuning.exit_policy.model_copy(update=limits)})
    if in_process:
        runner = runner.model_copy(update={"kind": "in_process"})
    return job.model_copy(update={"tuning": tuning, "runner": runner})


def _say_folder(folder: Path) -> None:
    console.print(f"job folder: {folder}", highlight=False, soft_wrap=True, markup=False)
