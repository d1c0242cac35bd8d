"""What all sections of a job share: strictness, common value types, and the shorthand forms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(min_length=1)]
"""Text that says something."""

Function = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
"""``package.module:function``"""

Quantity = Literal["latency", "throughput", "size", "memory"]

Argument = float | int | str | bool


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are not coerced, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class NamedSection(Section):
    """A name with arguments; the name alone is a shorthand for it."""

    name: Text = Field(description="A name autoq knows, or your own package.module:function.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments it takes.")


def one_or_many(value: Any) -> Any:
    """A scalar becomes a list of one."""
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def named(value: Any) -> Any:
    """A name becomes a section with that name."""
    return {"name": value} if isinstance(value, str) else value


def named_list(value: Any) -> Any:
    """A name, a section or a list of either becomes a list of sections."""
    if isinstance(value, str | dict | NamedSection):
        value = [value]
    return [named(v) for v in value] if isinstance(value, list) else value
