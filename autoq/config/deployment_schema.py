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
    """Where the tuned model will run: it is exported as ONNX and scored there again."""

    runtimes: _Runtimes = Field(
        default_factory=lambda: list(RUNTIMES), description="Runtimes that score the exported file."
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

    _listed = field_validator("runtimes", mode="before", json_schema_input_type=RuntimeName | _Runtimes)(one_or_many)

    @field_validator("runtimes")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        twice = next((name for name in value if value.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"runtime {twice} is named twice: once is enough")
        return value
