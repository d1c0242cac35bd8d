"""Every error autoq raises on purpose.

Each says what happened, where (file:line:column, op or trial) and what to do next. The command line
maps `exit_code` to the process's exit status and prints no traceback for any of them.
"""

from __future__ import annotations

from typing import ClassVar


class AutoqError(Exception):
    """Root of all errors autoq raises on purpose.

    Args:
        message: What happened.
        where: ``file:line:column``, an op id, or a trial; omitted when there is no better place.
        hint: What the user can do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f"\n  → {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"


class ConfigError(AutoqError, ValueError):
    """The job file or a Python argument does not mean anything to autoq."""

    exit_code = 2


class ModelError(AutoqError, ValueError):
    """The model cannot be read, or cannot be quantized."""

    exit_code = 3


class DataError(AutoqError, ValueError):
    """Calibration or evaluation data are missing, empty, or of the wrong form."""

    exit_code = 4


class EvaluationError(AutoqError, ValueError):
    """A metric or a post-processing step could not produce a finite score."""

    exit_code = 5


class StoreError(AutoqError, RuntimeError):
    """The workspace cannot be read or written (full disk, no permission, another version)."""

    exit_code = 6


class MissingDependencyError(AutoqError, ImportError):
    """A framework this job needs is not installed; the hint holds the exact install command."""

    exit_code = 7


class TrialError(AutoqError, RuntimeError):
    """One trial could not be built, loaded or scored. Tuning records it and goes on."""

    exit_code = 8


class RunnerError(AutoqError, RuntimeError):
    """The process that runs trials could not be started or does not speak our protocol."""

    exit_code = 9


class UnsupportedError(AutoqError, NotImplementedError):
    """A combination the product does not offer; the message names the alternative."""

    exit_code = 10


class StoppedByUserError(AutoqError, RuntimeError):
    """The user asked to stop before there was a result to return."""

    exit_code = 130
