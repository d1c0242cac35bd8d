"""When tuning stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from autoq.core.errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """Whatever comes first ends the search; finalists and the verdict still follow.

    Attributes:
        max_trials: Trials to run; ``None`` for no limit.
        timeout: Seconds of search, added up over resumed sessions; ``None`` for no limit.
        first_pass: Stop at the first plan that is accepted and faster than fp32.
    """

    max_trials: int | None = None
    timeout: float | None = None
    first_pass: bool = False

    def __post_init__(self) -> None:
        if self.max_trials is not None and self.max_trials < 1:
            raise ConfigError(f"max_trials must be at least 1, not {self.max_trials}")
        if self.timeout is not None and not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ConfigError(
                f"timeout must be a positive number of seconds, not {self.timeout}",
                hint="leave it out for no limit",
            )

    def spent(self, trials: int, seconds: float, passed: bool) -> str | None:
        """Why the search is over, or None while it may go on."""
        if self.first_pass and passed:
            return "the first passing plan was found"
        if self.max_trials is not None and trials >= self.max_trials:
            return f"the budget of {self.max_trials} trial{'' if self.max_trials == 1 else 's'} is used up"
        if self.timeout is not None and seconds >= self.timeout:
            return f"the budget of {self.timeout:g} seconds is used up"
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        return {"max_trials": self.max_trials, "timeout": self.timeout, "first_pass": self.first_pass}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Budget:
        """Rebuild from `to_json`."""
        return cls(data["max_trials"], data["timeout"], data["first_pass"])
