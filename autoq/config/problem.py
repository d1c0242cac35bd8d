"""What is wrong with a job: collected, sorted and reported all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoq.config.positions import Mark, place
from autoq.core.errors import ConfigError

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        message: What, in one sentence.
        hint: What to write instead.
        mark: Where in the file; None when the job is not a file.
    """

    message: str
    hint: str | None = None
    mark: Mark | None = None


def config_error(problems: Sequence[Problem], name: str) -> ConfigError:
    """One error that tells all problems in the order of the file.

    Args:
        problems: At least one.
        name: Name of the file; empty for a job made in Python.
    """
    ordered = sorted(dict.fromkeys(problems), key=lambda p: p.mark or Mark(0, 0))
    if len(ordered) == 1:
        only = ordered[0]
        return ConfigError(only.message, where=_place(only, name), hint=only.hint)
    lines = [str(ConfigError(p.message, where=_place(p, name), hint=p.hint)) for p in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(f"... and {len(ordered) - _SHOWN} more")
    return ConfigError(f"{name or 'this job'} has {len(ordered)} problems\n" + "\n".join(lines))


def _place(problem: Problem, name: str) -> str | None:
    return place(name, problem.mark) if name else None
