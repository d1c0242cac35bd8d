"""`autoq tune`: run a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoq.cli.console import console, error_console
from autoq.cli.live import LiveView
from autoq.cli.report import print_document
from autoq.config.files import check_files
from autoq.config.loader import load_job
from autoq.config.rules import budget
from autoq.config.schema import Job
from autoq.core.errors import StoppedByUserError

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
    check_files(job)
    with LiveView(console, job.model.name, budget(job)) as view:
        result = run_job(job, view, resume=resume, on_start=_say_folder)
    console.print()
    print_document(result.document)
    console.print(f"report: {result.report()}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"model:  {result.outcome.model_folder}", highlight=False, soft_wrap=True, markup=False)
    if result.outcome.stopped:
        error_console.print("stopped by the user; `autoq tune --resume` goes on from here", soft_wrap=True)
        raise typer.Exit(StoppedByUserError.exit_code)
    if require_accepted and not result.accepted:
        raise typer.Exit(NOT_ACCEPTED)


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
