"""`autoq evaluate`: score any saved model on a job's data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress as ProgressBar
from rich.table import Table

from autoq.cli.console import console, error_console
from autoq.cli.words import interval_text
from autoq.config.loader import load_job


def command(
    job_file: Annotated[Path, typer.Argument(metavar="JOB", help="The job whose data and metrics are used.")],
    model: Annotated[
        Path | None, typer.Option(help="Model file or saved folder; the job's fp32 model by default.")
    ] = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="Score the held-out split in place of tune.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score any saved model, quantized or not, on a job's data, next to the job's fp32 model."""
    from autoq.tuning.evaluate_model import evaluate_model

    job = load_job(job_file)
    with ProgressBar(console=error_console, transient=True, disable=as_json) as bar:
        bars: dict[str, int] = {}

        def progress(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = bar.add_task(name, total=total)
            bar.update(bars[name], completed=done, total=total)  # type: ignore[arg-type]

        scores = evaluate_model(job, model, held_out=held_out, progress=progress)
    if as_json:
        console.print_json(data=[s.to_json() for s in scores])
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("metric", "samples", "fp32", "model", "loss", "limit", "holds"):
        table.add_column(heading)
    for score in scores:
        table.add_row(
            score.metric,
            str(score.samples),
            f"{score.baseline:.4f}",
            f"{score.value:.4f}",
            interval_text(score.loss),
            f"{score.limit:g}",
            "yes" if score.met else "no",
        )
    console.print(table)
