"""`autoq init`: write a job file to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
import yaml

from autoq.cli.console import console
from autoq.config.loader import parse_job
from autoq.core.errors import ConfigError
from autoq.core.function import is_function_name
from autoq.yaml_templates.catalog import find_template


def command(
    framework: Annotated[str, typer.Option(help="Adaptor that tunes the model, e.g. onnxrt_qdq.")] = "onnxrt_qdq",
    approach: Annotated[
        str | None, typer.Option(help="static, dynamic or auto; the framework's usual one by default.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("job.yaml"),
    model: Annotated[
        str | None, typer.Option(help="The model to tune, a file or package.module:factory; goes into the job file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file when it exists.")] = False,
) -> None:
    """Write a complete, commented job file for a framework and approach."""
    template = find_template(framework, approach)
    if output.is_dir():
        output = output / "job.yaml"
    text = template.text if model is None else _with_model(template.text, template.name, model, output)
    _write(text, output, force)
    console.print(f"wrote {output}: {template.summary}", markup=False, highlight=False, soft_wrap=True)
    _print_next_steps(output, model)


def _with_model(text: str, name: str, model: str, output: Path) -> str:
    """The template with the model's path, relative to the job file where that is possible, or with its factory."""
    # A file may have a colon in its name; Path.exists raises for some names, os.path never does.
    if is_function_name(model) and not os.path.exists(model):  # noqa: PTH110
        text = _replaced(text, name, ("model", "path"), model)
        return _replaced(text, name, ("model", "name"), model.rpartition(":")[2] or model)
    if not os.path.exists(model):  # noqa: PTH110 - never raises, unlike Path.exists
        raise ConfigError(f"there is no model '{model}'", hint="check --model, or leave it out and edit model.path")
    path = Path(model)
    try:
        written = os.path.relpath(path.absolute(), output.parent.absolute())
    except ValueError:
        # Another drive: no relative path leads there.
        written = str(path.absolute())
    text = _replaced(text, name, ("model", "path"), Path(written).as_posix())
    return _replaced(text, name, ("model", "name"), path.stem or path.name)


def _replaced(text: str, name: str, path: tuple[str, ...], value: str) -> str:
    """The text with the plain scalar at `path` replaced; comments and layout stay."""
    mark = parse_job(text, name, Path()).origin.mark(path)
    if mark is None:
        raise ConfigError(f"template '{name}' has no key '{'.'.join(path)}'")
    lines = text.splitlines(keepends=True)
    line = lines[mark.line - 1]
    start = mark.column - 1
    old = line[start:].split("#")[0].rstrip()
    rest = line[start + len(old) :]
    quoted = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**6).rstrip("\n")
    padding = " " * max(0, len(rest) - len(rest.lstrip(" ")) - (len(quoted) - len(old))) if "#" in rest else ""
    lines[mark.line - 1] = line[:start] + quoted + (f"{padding or '  '}{rest.lstrip(' ')}" if "#" in rest else rest)
    return "".join(lines)


def _write(text: str, output: Path, force: bool) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if not force and output.exists():
            raise ConfigError(
                f"'{output}' exists and is not overwritten", hint="choose another file with --output, or give --force"
            )
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"'{output}' cannot be written: {error.strerror}", hint="choose another --output") from None


def _print_next_steps(output: Path, model: str | None) -> None:
    steps = [
        "edit the data sections" if model is not None else "edit model.path and the data sections",
        f"autoq validate {output}",
        f"autoq tune {output}",
    ]
    console.print("next:")
    for number, step in enumerate(steps, 1):
        console.print(f"  {number}. {step}", markup=False, highlight=False, soft_wrap=True)
