"""`autoq inspect`: the capability table of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from autoq.cli.console import console, error_console
from autoq.config.files import check_files
from autoq.config.loader import load_job
from autoq.config.model_kind import kind_of_path
from autoq.config.rules import space
from autoq.config.schema import Job
from autoq.core.adaptor import ModelSource, notes_of
from autoq.core.capability import Capability, CapabilityTable
from autoq.core.errors import ConfigError
from autoq.core.function import is_function_name
from autoq.core.inquiry import Need
from autoq.core.registry import ADAPTORS, make_adaptor
from autoq.core.space import Space, match_names
from autoq.tuning.assemble import model_source

_JOB_SUFFIXES = (".yaml", ".yml")
_DEFAULT_FRAMEWORK = "onnxrt_qdq"
"""Of a model whose path tells nothing."""
_SENSING_SECONDS = 300.0


def command(
    model_or_job: Annotated[Path, typer.Argument(metavar="MODEL_OR_JOB", help="A model, or a job file.")],
    framework: Annotated[
        str | None, typer.Option(help="Framework of a model; by default what its file or folder looks like.")
    ] = None,
    op: Annotated[
        str | None, typer.Option(help="Only ops of this name or type; wildcards and expressions too.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Ops to print; 0 for all.")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Measure what quantizing each op of a job's model does and saves.")
    ] = False,
    need: Annotated[
        Need | None, typer.Option(help="With --sensitivity: what to measure; sensitivity by default.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help=f"With --sensitivity: seconds it may take; {_SENSING_SECONDS:g} by default."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --sensitivity: write a page with a chart.")
    ] = None,
) -> None:
    """Show which op of a model can run in which precision, what it costs there, and where that is known from.

    For a job file, precisions that the job's rules leave out are dimmed. With --sensitivity, the fully quantized plan
    is taken apart: what each op does to the outputs, measured on calibration samples as a search would, and what it
    saves.
    """
    if sensitivity:
        _sensitivity(model_or_job, framework, need, seconds, op, limit, as_json, html)
        return
    for name, value in (("--need", need), ("--seconds", seconds), ("--html", html)):
        if value is not None:
            raise ConfigError(f"{name} says how sensitivity is measured", hint="add --sensitivity")
    job: Job | None = None
    guessed = ""
    if model_or_job.suffix.lower() in _JOB_SUFFIXES:
        job = load_job(model_or_job)
        source, name = model_source(job), framework or job.model.framework
    else:
        source = ModelSource(model_or_job)
        name, guessed = (framework, "") if framework is not None else _guess(model_or_job)
        _check_kind(model_or_job, name)
    adaptor, shown_as = make_adaptor(name), _shown(source)
    with error_console.status(f"loading {shown_as} …"):
        model = adaptor.load(source)
        table = adaptor.capabilities(model)
    rows = _chosen(table, op)
    if as_json:
        data: dict[str, Any] = table.to_json()
        wanted = {row.op.id for row in rows}
        data["rows"] = [row for row in data["rows"] if row["op"] in wanted]
        data |= {"framework": name, "model": str(source.model), "fingerprint": model.fingerprint}
        console.print_json(data=data)
        return
    search = space(job, table) if job is not None else None
    told = [*notes_of(model), *(search.notes if search is not None else ())]
    inputs = ", ".join(f"{s.name} {s.dtype}{_shape(s.shape)}" for s in model.inputs)
    console.print(
        f"{shown_as}: {model.size_bytes / 1e6:.1f} MB, {len(table)} ops, takes {inputs}", markup=False, highlight=False
    )
    if search is not None:
        console.print(f"the job leaves {_count(search.size)} plans", highlight=False)
    for note in told:
        console.print(f"note: {note}", style="dim", markup=False, highlight=False, soft_wrap=True)
    if guessed:
        console.print(guessed, style="dim", markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(_summary(rows))
    console.print()
    shown = rows if limit == 0 else rows[:limit]
    console.print(_ops(shown, search))
    if len(shown) < len(rows):
        console.print(f"… and {len(rows) - len(shown)} more; --limit 0 shows all", style="dim", highlight=False)


def _sensitivity(
    path: Path,
    framework: str | None,
    need: Need | None,
    seconds: float | None,
    op: str | None,
    limit: int,
    as_json: bool,
    html: Path | None,
) -> None:
    from autoq.cli.sensitivity import show_sensitivity

    if path.suffix.lower() not in _JOB_SUFFIXES:
        raise ConfigError(
            "sensitivity is measured on calibration samples, and only a job names some",
            where=str(path),
            hint="`autoq init` writes a job file: `autoq inspect job.yaml --sensitivity`",
        )
    job = load_job(path)
    if framework is not None:
        job = job.model_copy(update={"model": job.model.model_copy(update={"framework": framework})})
    check_files(job)
    show_sensitivity(
        job,
        need or Need.SENSITIVITY,
        _SENSING_SECONDS if seconds is None else seconds,
        pattern=op,
        limit=limit,
        as_json=as_json,
        html=html,
    )


def _guess(path: Path) -> tuple[str, str]:
    """The framework of a model by what its path leads to, and what to say of it."""
    kind = kind_of_path(path)
    if kind is None:
        return _DEFAULT_FRAMEWORK, ""
    others = f"; --framework {' or '.join(kind.frameworks[1:])} reads it, too" if kind.frameworks[1:] else ""
    return kind.frameworks[0], f"{kind.title}: shown for framework {kind.frameworks[0]}{others}"


def _check_kind(path: Path, framework: str) -> None:
    kind = kind_of_path(path)
    if kind is not None and framework not in kind.frameworks and framework in ADAPTORS:
        raise ConfigError(
            f"'{path}' is {kind.title}, which framework {framework} does not read",
            hint=f"use --framework {' or '.join(kind.frameworks)}",
        )


def _shown(source: ModelSource) -> str:
    name = str(source.model)
    return name if is_function_name(name) else Path(name).name


def _chosen(table: CapabilityTable, pattern: str | None) -> Sequence[Capability]:
    if pattern is None:
        return table.rows
    types = {row.op.type for row in table}
    if pattern in types:
        return [row for row in table if row.op.type == pattern]
    matched = match_names(pattern, [*(row.op.id for row in table), *types], "op")
    return [row for row in table if row.op.id in matched or row.op.type in matched]


def _summary(rows: Sequence[Capability]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("type", "ops", "precisions, best first (latency of the op alone / fp32)", "where from"):
        table.add_column(heading)
    kinds = Counter((r.op.type, r.precisions, r.costs, r.origin, r.note) for r in rows)
    for (kind, precisions, costs, origin, note), count in kinds.items():
        cells = _cells(precisions, costs)
        table.add_row(kind, str(count), "\n".join(cells), Text(note or origin, style="yellow" if note else "dim"))
    return table


def _ops(rows: Sequence[Capability], search: Space | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    headings = ["op", "type", "best", "also", *(["group"] if any(r.group for r in rows) else [])]
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        allowed = _allowed(row, search)
        best = next((p.label for p in row.precisions if p.label in allowed), "fp32")
        others = len(allowed) - 1
        cells: list[RenderableType] = [
            Text(row.op.id),
            Text(row.op.type),
            Text(best, style="dim" if best == "fp32" else ""),
            str(others or ""),
        ]
        cells += [Text(row.group or "")] if "group" in headings else []
        table.add_row(*cells)
    return table


def _allowed(row: Capability, search: Space | None) -> Sequence[str]:
    if search is None:
        return [p.label for p in row.precisions]
    unit = search.by_id.get(row.group or row.op.id)
    if unit is None:
        fixed = search.fixed.get(row.op.id)
        return [fixed.label] if fixed is not None else ["fp32"]
    return [p.label for p in unit.precisions]


def _cells(precisions: Sequence[Any], costs: Sequence[float | None]) -> list[str]:
    padded = [*costs, *[None] * (len(precisions) - len(costs))]
    return [
        p.label + (f" ({cost:.2g})" if cost is not None and not p.is_float else "")
        for p, cost in zip(precisions, padded, strict=True)
    ]


def _shape(shape: tuple[int | str | None, ...] | None) -> str:
    return "" if shape is None else "[" + ", ".join("?" if s is None else str(s) for s in shape) + "]"


def _count(size: int) -> str:
    return str(size) if size < 10_000 else f"about 10^{len(str(size)) - 1}"
