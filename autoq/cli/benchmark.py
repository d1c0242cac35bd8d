"""`autoq benchmark`: latency and throughput, interleaved with fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from autoq.cli.console import console, error_console
from autoq.config.loader import load_job
from autoq.report.text import ratio_text


def command(
    job_file: Annotated[Path, typer.Argument(metavar="JOB", help="The job whose fp32 model and data are used.")],
    model: Annotated[
        Path | None, typer.Option(help="Model file or saved folder to compare; only fp32 is measured without it.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads per instance, in place of the job's.")] = None,
    instances: Annotated[int | None, typer.Option(min=1, help="Processes side by side, in place of the job's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples per run, in place of the job's.")] = None,
    rounds: Annotated[int | None, typer.Option(min=5, help="Interleaved rounds at most.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds at most.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a model's speed next to fp32: medians in the same process, with the interval of their ratio.

    With several instances, fp32 and the model take turns as well, and all instances run the same one at a time.
    """
    from autoq.tuning.speed import SpeedRequest, measure_speed

    job = load_job(job_file)
    performance, accuracy = job.evaluation.performance, job.evaluation.accuracy
    loader = accuracy.dataloader if accuracy is not None else None
    request = SpeedRequest(
        threads=threads or performance.cores_per_instance,
        instances=instances or performance.num_of_instance,
        batch_size=batch_size or performance.batch_size or (loader.batch_size if loader is not None else 1),
        rounds=rounds or performance.iterations,
        warmup=performance.warmup,
        seconds=seconds,
        confidence=job.tuning.accuracy_criterion.confidence,
        seed=job.tuning.random_seed,
    )
    with error_console.status("measuring …"):
        speed = measure_speed(job, model, request)
    if as_json:
        console.print_json(data=speed.to_json())
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("model", "latency", "throughput", "latency / fp32", "rounds"):
        table.add_column(heading)
    for name, latency in speed.latencies.items():
        table.add_row(
            name,
            f"{1000 * latency.seconds:.4g} ms",
            f"{request.instances * request.batch_size / latency.seconds:.4g} samples/s",
            "1" if name == "fp32" else ratio_text(latency.ratio),
            str(latency.rounds),
        )
    console.print(table)
    console.print(
        f"{request.threads or 'default'} thread(s), batch {request.batch_size}, {request.instances} instance(s)",
        style="dim",
        highlight=False,
    )
