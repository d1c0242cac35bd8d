"""The job's section on where the tuned model will run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from autoq.config.section import Section, one_or_many
from autoq.core.deployment import OPSETS, RUNTIMES
from autoq.core.profile import PROFILES

if TYPE_CHECKING:
    RuntimeName = str
    ProfileName = str
else:
    RuntimeName = Literal[tuple(RUNTIMES)]
    ProfileName = Literal[tuple(PROFILES)]

_Runtimes = Annotated[list[RuntimeName], Field(min_length=1)]


class DeploymentSection(Section):
    """Where the tuned model will run: it is exported and scored there again."""

    runtimes: _Runtimes | None = Field(
        None, description="Runtimes that score the exported file; by default all that run the framework's models."
    )
    profile: ProfileName | None = Field(
        None, description="Only plans that this kind of device takes are tried; its rules are checked on the file."
    )
    opset: int | None = Field(
        None, ge=OPSETS[0], le=OPSETS[1], description="ONNX opset of files made from PyTorch models; 21 by default."
    )
    tolerance: float = Field(
        0.002, ge=0, description="Largest difference between tuned and deployed model, in the metric's own unit."
    )

    _listed = field_validator("runtimes", mode="before", json_schema_input_type=RuntimeName | _Runtimes | None)(
        one_or_many
    )

    @field_validator("runtimes")
    @classmethod
    def _once(cls, value: list[str] | None) -> list[str] | None:
        names = value or []
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"runtime {twice} is named twice: once is enough")
        return value
