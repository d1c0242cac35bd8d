"""A job file, a text or a mapping → a valid `Job`; or one error that tells everything that is wrong."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoq.config.conflicts import conflicts
from autoq.config.explain import explain
from autoq.config.positions import KeyPath, Origin, dotted
from autoq.config.problem import Problem, config_error
from autoq.config.reader import MAX_BYTES, MAX_DEPTH, decode, read_document
from autoq.config.schema import Job
from autoq.core.errors import ConfigError
from autoq.core.suggest import did_you_mean


def load_job(path: Path) -> Job:
    """Read a job file. Relative paths in it start from the folder it lies in.

    Raises:
        ConfigError: It cannot be read, or what it says is not a job; lists every ``file:line:column``.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        hint = did_you_mean(path.name, near) if near else "`autoq init` writes a job file"
        raise ConfigError("there is no such job file", where=name, hint=hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"the job file cannot be read: {reason}", where=name) from None
    return parse_job(decode(raw, name), name, path.parent.absolute())


def parse_job(text: str, name: str, base: Path) -> Job:
    """Read a job from YAML text.

    Args:
        text: The YAML.
        name: File name for errors.
        base: Folder that relative paths start from.

    Raises:
        ConfigError: What it says is not a job; lists every ``file:line:column``.
    """
    document = read_document(text, name)
    return _validated(document.data, base, document.origin, list(document.problems))


def job_from_mapping(data: Mapping[str, Any], base: Path) -> Job:
    """Make a job from a Python mapping with a job file's keys; paths, tuples and NumPy numbers are fine.

    Args:
        data: The sections.
        base: Folder that relative paths start from.

    Raises:
        ConfigError: What it says is not a job; lists every key.
    """
    problems: list[Problem] = []
    plain = _plain(data, (), problems)
    if not isinstance(plain, dict):
        raise ConfigError(f"a job is a mapping of sections, not a {type(data).__name__}")
    return _validated(plain, base, Origin(), problems)


def check_job(job: Job) -> None:
    """Check a job that was made in Python, by `Job(...)`, for settings that contradict each other.

    Raises:
        ConfigError: Some do.
    """
    problems = _conflicts(job, job.origin)
    if problems:
        raise config_error(problems, job.origin.name)


def _validated(data: dict[str, Any], base: Path, origin: Origin, problems: list[Problem]) -> Job:
    # `base` is a field of a job made in Python; in a file it would be a mistake like any other key.
    known = {k: v for k, v in data.items() if k != "base"}
    if len(known) != len(data):
        message = "unknown key 'base'"
        problems.append(Problem(message, "paths start from the job file's folder", origin.mark(("base",), of_key=True)))
    try:
        job = Job.model_validate(known)
    except ValidationError as error:
        unreadable = {p.mark for p in problems if p.mark is not None}
        problems += [p for p in explain(error, known, origin) if p.mark not in unreadable]
        raise config_error(problems, origin.name) from None
    problems += _conflicts(job, origin)
    if problems:
        raise config_error(problems, origin.name)
    return job.placed(base, origin)


def _conflicts(job: Job, origin: Origin) -> list[Problem]:
    return [Problem(c.message, c.hint, origin.mark(c.path, of_key=c.of_key)) for c in conflicts(job)]


def _plain(value: Any, path: KeyPath, problems: list[Problem]) -> Any:
    """Python values as a job file would hold them; other objects pass, for options that take any."""
    if len(path) > MAX_DEPTH:
        raise ConfigError(f"{dotted(path[:3])} is nested more than {MAX_DEPTH} deep, or contains itself")
    if isinstance(value, Mapping):
        place = dotted(path) or "the job"
        problems += [Problem(f"the key {k!r} under {place} is not text") for k in value if not isinstance(k, str)]
        return {str(k): _plain(v, (*path, str(k)), problems) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, (*path, i), problems) for i, v in enumerate(value)]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool | int):
        return value
    # NumPy registers its scalars with these two.
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        if not math.isfinite(value):
            problems.append(Problem(f"{dotted(path)} is not a finite number"))
            return 0.0
        return float(value)
    return value
