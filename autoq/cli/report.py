"""`autoq report`: the answer of a finished job, and where its report lies."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from autoq.cli.console import console, error_console
from autoq.core.errors import StoreError
from autoq.core.suggest import did_you_mean
from autoq.report import deployment, hindrance, page, side_by_side
from autoq.report.document import ReportDocument
from autoq.report.front import front_quantities, front_rows
from autoq.report.naming import baseline_name, rivals_of
from autoq.report.optuna_export import export_study, study_address
from autoq.report.rivals import rival_rows
from autoq.report.scoring import scoring_effort
from autoq.report.text import NONE, counted, duration
from autoq.store.artifacts import JobFolder

LATEST = "latest"

_WITHOUT_A_BAR = 2.0
"""Seconds."""


def command(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="A job's id or folder, or 'latest' for the youngest with a report.")
    ] = LATEST,
    workspace: Annotated[Path, typer.Option(help="Folder the job was run in.")] = Path("autoq_workspace"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    optuna: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the trials as an Optuna study for optuna-dashboard: .db or .sqlite3 (SQLite), .log (journal).",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --optuna when it exists.")] = False,
) -> None:
    """Print the answer of a finished job and write its page anew from the stored document."""
    from autoq.report.html import read_report, write_report

    folder = find_report(job, workspace)
    document = read_report(folder / "report.json")
    path = write_report(document, folder)
    if optuna is not None:
        write_study(document, optuna, overwrite=force)
    if as_json:
        console.print_json(data=document.to_json())
    else:
        print_document(document)
        console.print(f"report: {path}", highlight=False, soft_wrap=True, markup=False)
        if optuna is not None:
            line = f"study: optuna-dashboard '{study_address(optuna)}'"
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    if open_page:
        webbrowser.open(path.absolute().as_uri())


def write_study(document: ReportDocument, path: Path, *, overwrite: bool) -> None:
    """Write the trials as an Optuna study, with a bar where it takes longer than one waits without."""
    with Progress(console=error_console, transient=True, disable=not error_console.is_terminal) as bar:
        started = time.monotonic()
        task = bar.add_task("writing trials", visible=False)

        def tell(done: int, total: int) -> None:
            slow = time.monotonic() - started > _WITHOUT_A_BAR
            bar.update(task, completed=done, total=total, visible=slow)

        export_study(document, path, overwrite=overwrite, progress=tell)


def find_report(job: str, workspace: Path) -> Path:
    """The folder that holds a job's report.

    Raises:
        StoreError: There is none, with the ids there are.
    """
    given = Path(job)
    if given.name == "report.json" and given.is_file():
        return given.parent
    if given.is_dir():
        if (given / "report.json").is_file():
            return given
        raise StoreError("this folder holds no report.json", where=str(given))
    root = JobFolder(workspace, LATEST).folder.parent
    found = sorted(p.parent.name for p in root.glob("*/report.json"))
    if not found:
        raise StoreError(
            "no job of this workspace has a report",
            where=str(workspace),
            hint="run `autoq tune` first, or name another workspace with --workspace",
        )
    if job == LATEST:
        return root / found[-1]
    if job in found:
        return root / job
    if (root / job).is_dir():
        raise StoreError(f"job {job} has no report yet", where=str(workspace), hint="go on with `autoq tune --resume`")
    raise StoreError(f"there is no job '{job}'", where=str(workspace), hint=did_you_mean(job, found))


def print_document(document: ReportDocument) -> None:
    """The verdict first, then fp32 and the chosen plan side by side, then what to know before trusting it."""
    verdict = document.verdict
    console.print(verdict.sentence, style="bold green" if verdict.accepted else "bold yellow", markup=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", baseline_name(document.trials), "chosen" if verdict.accepted else "best attempt", "change"):
        table.add_column(heading)
    for row in side_by_side.compared(document):
        table.add_row(row.what, row.fp32, row.shown, row.change)
    console.print(table)
    _print_rivals(document)
    _print_front(document)
    if document.held_out is not None:
        console.print(f"held-out samples: {verdict.held_out.replace('_', ' ')}", highlight=False)
        for loss in page.losses(document.criteria, document.held_out.scores):
            lost = f"{loss.value} {loss.bounds}".rstrip()
            text = f"  {loss.metric}: loss {lost}, limit {loss.limit}, {loss.samples}"
            console.print(text, highlight=False, markup=False)
    if document.deployment is not None:
        for line in deployment.lines(document.deployment):
            console.print(line, highlight=False, markup=False)
    if document.explanation:
        console.print(document.explanation, highlight=False, markup=False)
    effort = scoring_effort(document.trials, document.samples.get("tune", 0))
    if effort is not None:
        console.print(f"samples scored: {effort}", highlight=False, markup=False)
    _print_obstacles(document)
    for line in hindrance.ties(document):
        console.print(line, highlight=False, markup=False)
    for note in document.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    floats = len(rivals_of(document.trials))
    without = f" and {floats} without quantizing" if floats else ""
    console.print(
        f"{counted(len(document.trials) - 1 - floats, 'trial')}{without}, {duration(sum(document.seconds.values()))}; "
        f"search ended: {document.stop_reason}",
        highlight=False,
        markup=False,
    )


def _print_obstacles(document: ReportDocument) -> None:
    """Where nothing was accepted: how near it came, what stands in the way, what would help."""
    if document.obstacles is None:
        return
    console.print()
    console.print(hindrance.reached(document), highlight=False, markup=False)
    rows = hindrance.blockers(document)
    if rows:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("in the way", "type", "evidence"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(Text(row.ops), Text(row.type), Text(row.evidence))
        console.print(table)
    for line in document.obstacles.advice:
        console.print(f"what would help: {line}", highlight=False, markup=False)
    console.print()


def _print_front(document: ReportDocument) -> None:
    """What can be had for what, where the job has several objectives."""
    if not document.front:
        return
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    ratios = [f"{quantity} / fp32" for quantity in front_quantities(document)]
    for heading in ("Pareto front", *ratios, *(f"loss of {c.metric}" for c in document.criteria), "what"):
        table.add_column(heading)
    for row in front_rows(document):
        name = f"trial {row.number}{', chosen' if row.chosen else ''}"
        style = "bold green" if row.chosen else ""
        table.add_row(name, *row.ratios, *row.losses, Text(row.what), style=style)
    console.print(table)


def _print_rivals(document: ReportDocument) -> None:
    """What else could run here, where there is anything."""
    rows = rival_rows(document)
    if not rows:
        return
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    metrics = [criterion.metric for criterion in document.criteria]
    for heading in ("could run here", "latency", "ratio", *metrics, "compile", "verdict"):
        table.add_column(heading)
    for row in rows:
        scores = row.scores or tuple(NONE for _ in metrics)
        style = "bold green" if row.chosen else ""
        table.add_row(row.name, row.latency, row.ratio, *scores, row.compiling, row.verdict, style=style)
    console.print(table)
