"""The `autoq` command: puts the commands together and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from autoq.cli import benchmark, doctor, evaluate, init, inspect, replay, report, tune, validate
from autoq.cli.console import error_console
from autoq.core.errors import AutoqError

app = typer.Typer(
    name="autoq",
    help="The fastest model that keeps your accuracy promise on your machine, with the proof.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init", short_help="Write a job file for a framework and approach.")(init.command)
app.command("validate", short_help="Check a job file and say what it will do.")(validate.command)
app.command("inspect", short_help="Show the capability table of a model: which op can run in which precision.")(
    inspect.command
)
app.command("tune", short_help="Run a job: search, verify, report.")(tune.command)
app.command("benchmark", short_help="Measure a model's latency or throughput, interleaved with fp32.")(
    benchmark.command
)
app.command("evaluate", short_help="Score any saved model, quantized or not, on a job's data.")(evaluate.command)
app.command("report", short_help="Summarize a finished job and say where its report lies.")(report.command)
app.command("replay", short_help="Run a result bundle again and say whether plan and numbers come out again.")(
    replay.command
)
app.command("doctor", short_help="Show versions, CPU features, and which adaptors are usable.")(doctor.command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"autoq {metadata.version('autoq')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def run() -> None:
    """Entry point: user mistakes end with a message and an exit code, never with a traceback."""
    try:
        app()
    except AutoqError as error:
        error_console.print(f"[bold red]error:[/] {_escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        error_console.print("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) is gone: nothing is left to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
