"""`autoq validate`: check a job file and say what it will do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from autoq.cli.console import console
from autoq.config.conflicts import MODES
from autoq.config.files import dataset_files, import_beside, missing_files
from autoq.config.json_schema import job_json_schema
from autoq.config.loader import load_job
from autoq.config.problem import Problem, config_error
from autoq.config.rules import budget, criteria, objective
from autoq.config.schema import Dataloader, Job
from autoq.config.sizes import format_size
from autoq.core.criterion import Criterion
from autoq.core.deployment import runtimes_of
from autoq.core.errors import ConfigError
from autoq.core.function import is_function_name, load_function
from autoq.core.precision import Mode
from autoq.core.registry import STRATEGIES
from autoq.report.text import duration, join


def command(
    job_file: Annotated[Path | None, typer.Argument(metavar="JOB", help="The job file.")] = None,
    print_schema: Annotated[
        bool, typer.Option("--print-schema", help="Print the JSON Schema of job files, for editors.")
    ] = False,
    schema_out: Annotated[Path | None, typer.Option(help="Write the JSON Schema to a file.")] = None,
) -> None:
    """Check a job file and the files and functions it names, and say what the job will do. No model is run."""
    if job_file is None and not print_schema and schema_out is None:
        raise ConfigError("name a job file to check", hint="autoq validate job.yaml")
    if print_schema:
        typer.echo(_schema_text())
    if schema_out is not None:
        _write_schema(schema_out)
    if job_file is not None:
        job = load_job(job_file)
        import_beside(job)
        directions, problems = _metrics(job)
        problems += [*_postprocess(job), *_factory(job), *missing_files(job)]
        if problems:
            raise config_error(problems, job.origin.name)
        _print_summary(job, job_file, criteria(job, list(directions), directions.__getitem__))


def _schema_text() -> str:
    return json.dumps(job_json_schema(), indent=2, ensure_ascii=False)


def _write_schema(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_schema_text() + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written: {error.strerror}", hint="choose another --schema-out") from None
    console.print(
        f"wrote {path}; editors use it when a job begins with\n# yaml-language-server: $schema={path}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _metrics(job: Job) -> tuple[dict[str, bool], list[Problem]]:
    """Whether higher is better, by metric, and what is wrong with the metrics."""
    # Imported here: metrics bring scikit-learn, which a look at the help text should not wait for.
    from autoq.evaluation.metrics import make_metric

    directions: dict[str, bool] = {}
    problems: list[Problem] = []
    accuracy = job.evaluation.accuracy
    sections = accuracy.metric if accuracy is not None else []
    for index, section in enumerate(sections):
        try:
            metric = make_metric(section.name, section.arguments, section.higher_is_better)
        except ConfigError as error:
            mark = job.origin.mark(("evaluation", "accuracy", "metric", index))
            problems.append(Problem(error.message, error.hint, mark))
        else:
            count = sum(s.name == section.name for s in sections[: index + 1])
            directions[section.name if count == 1 else f"{section.name}#{count}"] = metric.higher_is_better
    return directions, problems


def _postprocess(job: Job) -> Iterator[Problem]:
    from autoq.evaluation.postprocess import make_postprocess

    accuracy = job.evaluation.accuracy
    for index, step in enumerate(accuracy.postprocess if accuracy is not None else ()):
        try:
            make_postprocess([(step.name, step.arguments)], job.base)
        except ConfigError as error:
            mark = job.origin.mark(("evaluation", "accuracy", "postprocess", index))
            yield Problem(error.message, error.hint, mark)


def _factory(job: Job) -> Iterator[Problem]:
    name = job.model.path
    if name is not None and is_function_name(name):
        try:
            load_function(name)
        except ConfigError as error:
            yield Problem(f"'{name}': {error.message}", error.hint, job.origin.mark(("model", "path")))


def _print_summary(job: Job, job_file: Path, promises: Sequence[Criterion]) -> None:
    console.print(f"{job_file} is valid", style="bold green", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in _summary(job, promises):
        table.add_row(title, Text(text))
    console.print(table)
    for note in _notes(job):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _summary(job: Job, promises: Sequence[Criterion]) -> Iterator[tuple[str, str]]:
    quantization, accuracy, performance = job.quantization, job.evaluation.accuracy, job.evaluation.performance
    path = job.resolve(job.model.path or "")
    size = f", {format_size(path.stat().st_size)}" if path.is_file() else ""
    weights = f" with {job.model.weights}" if job.model.weights is not None else ""
    weights += f", signature {job.model.signature}" if job.model.signature is not None else ""
    yield "model", f"{job.model.name} ({job.model.path}{size}{weights}), tuned by {job.model.framework}"
    rules = len(quantization.optype_wise) + len(quantization.op_wise)
    yield "approach", quantization.approach + (f", {rules} optype_wise and op_wise rules" if rules else "")
    if Mode.STATIC in MODES[quantization.approach]:
        loader = quantization.calibration.dataloader
        source = _described(loader) if loader is not None else "the evaluation data"
        yield "calibration", f"{quantization.calibration.sampling_size} samples of {source}"
    if accuracy is not None and accuracy.dataloader is not None:
        yield "promise", "; ".join(c.label for c in promises)
        yield "scored on", _described(accuracy.dataloader)
        held_out = accuracy.held_out
        if isinstance(held_out, Dataloader):
            yield "verdict on", f"{_described(held_out)}, which the search never sees"
        elif held_out:
            yield "verdict on", f"{100 * held_out:.3g} % of the samples, which the search never sees"
    aims = objective(job).weights
    total = sum(weight for _, weight in aims)
    yield "objective", " + ".join(f"{w / total:.3g} × {q}" if len(aims) > 1 else str(q) for q, w in aims)
    instances = f" × {performance.num_of_instance} instances" if performance.num_of_instance > 1 else ""
    threads = performance.cores_per_instance
    yield "measured with", ("1 thread" if threads == 1 else f"{threads or 'all'} threads") + instances
    if job.deployment is not None:
        profile = f", plans of profile {job.deployment.profile} only" if job.deployment.profile is not None else ""
        within = f"within {job.deployment.tolerance:g} of the tuned model"
        yield "deployed in", f"{join(job.deployment.runtimes or runtimes_of(job.model.framework))}, {within}{profile}"
    yield "search", f"{job.tuning.strategy.name}, {_ends(job)}"
    limits = [f"at most {format_size(job.runner.memory)}"] if job.runner.memory else []
    limits += [f"{duration(job.runner.timeout)} per trial"] if job.runner.timeout else []
    yield (
        "trials run in",
        ", ".join(["this process" if job.runner.kind == "in_process" else "a child process", *limits]),
    )
    yield "workspace", str(job.resolve(job.tuning.workspace))


def _described(loader: Dataloader) -> str:
    paths = [path for _, path in dataset_files(loader.dataset)]
    function = loader.dataset.python.function if loader.dataset.python is not None else None
    limit = f", at most {loader.limit} samples" if loader.limit is not None else ""
    return f"{function or paths[0]}, batch size {loader.batch_size}{limit}"


def _ends(job: Job) -> str:
    limits = budget(job)
    ends = [f"{limits.max_trials} trials"] if limits.max_trials is not None else []
    ends += [duration(limits.timeout)] if limits.timeout is not None else []
    ends += ["the first plan that passes"] if limits.first_pass else []
    return f"until {' or '.join(ends)}" if ends else "until nothing is left to try"


def _notes(job: Job) -> Iterator[str]:
    accuracy = job.evaluation.accuracy
    if accuracy is not None and accuracy.held_out == 0:
        yield "no held-out data: the result will not be confirmed on samples the search has not seen"
    policy = job.tuning.exit_policy
    if STRATEGIES[job.tuning.strategy.name].endless and policy.max_trials is None and policy.timeout is None:
        yield f"strategy {job.tuning.strategy.name} has no budget: give tuning.exit_policy max_trials or timeout"
    wanted = (job.evaluation.performance.cores_per_instance or 1) * job.evaluation.performance.num_of_instance
    if wanted > (os.cpu_count() or 1):
        yield f"{wanted} threads are asked for and this machine has {os.cpu_count()}: latencies will be noisy"
