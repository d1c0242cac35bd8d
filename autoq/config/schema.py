"""The job file's schema. Keys follow Intel Neural Compressor 1.x where it had one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, PrivateAttr, Strict, field_validator, model_validator

from autoq.config.data_schema import (
    Dataloader,
    Dataset,
    ImagePreprocess,
    ImagesDataset,
    NpzDataset,
    PythonDataset,
    TableDataset,
)
from autoq.config.deployment_schema import DeploymentSection
from autoq.config.positions import Origin
from autoq.config.section import Argument, NamedSection, Quantity, Section, Text, named, named_list, one_or_many
from autoq.config.sizes import Bytes
from autoq.core.precision import DType, Granularity, Mode, Observer, Scheme
from autoq.core.registry import ADAPTORS, STRATEGIES
from autoq.core.suggest import did_you_mean

__all__ = [
    "AccuracySection",
    "Approach",
    "CalibrationSection",
    "CriterionSection",
    "Dataloader",
    "Dataset",
    "DeploymentSection",
    "EvaluationSection",
    "ExitPolicySection",
    "Framework",
    "ImagePreprocess",
    "ImagesDataset",
    "Job",
    "MetricSection",
    "ModelSection",
    "NpzDataset",
    "OpRules",
    "PerformanceSection",
    "PostprocessSection",
    "PythonDataset",
    "QuantizationSection",
    "RunnerSection",
    "Section",
    "StrategySection",
    "TableDataset",
    "TensorRules",
    "TuningSection",
]

if TYPE_CHECKING:
    Framework = str
else:
    Framework = Literal[tuple(ADAPTORS)]  # the registry is the one list of adaptors

Approach = Literal[
    "post_training_static_quant",
    "post_training_dynamic_quant",
    "post_training_auto_quant",
    "weight_only",
]

# Enum members are written as plain text in a job; everything else stays strict.
_DTypes = Annotated[list[Annotated[DType, Strict(False)]], Field(min_length=1)]
_Schemes = Annotated[list[Annotated[Scheme, Strict(False)]], Field(min_length=1)]
_Granularities = Annotated[list[Annotated[Granularity, Strict(False)]], Field(min_length=1)]
_Observers = Annotated[list[Annotated[Observer, Strict(False)]], Field(min_length=1)]
_Modes = Annotated[list[Annotated[Mode, Strict(False)]], Field(min_length=1)]


class ModelSection(Section):
    """Which model, and which framework tunes it."""

    name: Text = Field("model", description="Name shown in reports.")
    framework: Framework = Field(description="Adaptor that tunes the model.")
    path: Text | None = Field(
        None, description="Model file or folder, relative to the job file, or package.module:factory."
    )
    weights: Text | None = Field(None, description="State dict for a factory's model, relative to the job file.")
    arguments: dict[str, Argument] = Field(default_factory=dict, description="Keyword arguments of a factory.")
    signature: Text | None = Field(
        None, description="Which signature of a SavedModel or .tflite; serving_default by default."
    )
    inputs: list[Text] = Field(default_factory=list, description="Input names, in order; the model's own by default.")
    outputs: list[Text] = Field(default_factory=list, description="Output names, in order; the model's own by default.")


class CalibrationSection(Section):
    """Samples that fix the ranges of static quantization."""

    sampling_size: int = Field(64, ge=1, description="Samples to calibrate on.")
    dataloader: Dataloader | None = Field(None, description="The evaluation data by default, labels unused.")


class TensorRules(Section):
    """Which quantizations of a tensor are allowed; one value or a list each."""

    dtype: _DTypes | None = Field(None, description="Storage types, e.g. [uint8, int8]; fp32 keeps the op float.")
    scheme: _Schemes | None = Field(None, description="Grids: sym is centred on zero, asym has a zero point.")
    granularity: _Granularities | None = Field(None, description="How many scales a tensor has.")
    observer: _Observers | None = Field(None, description="How a range is chosen from the statistics.")

    _dtypes = field_validator("dtype", mode="before", json_schema_input_type=DType | _DTypes | None)(one_or_many)
    _schemes = field_validator("scheme", mode="before", json_schema_input_type=Scheme | _Schemes | None)(one_or_many)
    _granularities = field_validator(
        "granularity", mode="before", json_schema_input_type=Granularity | _Granularities | None
    )(one_or_many)
    _observers = field_validator("observer", mode="before", json_schema_input_type=Observer | _Observers | None)(
        one_or_many
    )


class OpRules(Section):
    """What is said of the ops a pattern matches."""

    weight: TensorRules = Field(default_factory=TensorRules, description="Rules for weights.")
    activation: TensorRules = Field(default_factory=TensorRules, description="Rules for activations.")
    modes: _Modes | None = Field(None, description="Allowed modes, e.g. [static, dynamic].")
    fallback: bool | None = Field(None, description="False keeps the op quantized.")

    _listed = field_validator("modes", mode="before", json_schema_input_type=Mode | _Modes | None)(one_or_many)


class QuantizationSection(Section):
    """How the model may be quantized."""

    approach: Approach = Field("post_training_static_quant", description="When ranges are found, and so what may run.")
    calibration: CalibrationSection = Field(default_factory=CalibrationSection, description="Calibration samples.")
    model_wise: OpRules = Field(default_factory=OpRules, description="Rules for every op.")
    optype_wise: dict[str, OpRules] = Field(default_factory=dict, description="By op type, wildcard or expression.")
    op_wise: dict[str, OpRules] = Field(default_factory=dict, description="By op name, wildcard or expression.")
    recipes: dict[str, bool | dict[str, Argument]] = Field(
        default_factory=dict, description="Whole-model rewrites: true, false, or their arguments."
    )


class MetricSection(NamedSection):
    """One metric; its own limit overrides the job's criterion."""

    relative: float | None = Field(None, ge=0, description="Largest loss as a share of the fp32 score.")
    absolute: float | None = Field(None, ge=0, description="Largest loss in the metric's own unit.")
    higher_is_better: bool | None = Field(None, description="Only needed for your own function.")

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.relative is not None and self.absolute is not None:
            raise ValueError("give either relative or absolute, not both")
        return self


class PostprocessSection(NamedSection):
    """One step between raw outputs and the metric: a name, or ``package.module:function``."""


class AccuracySection(Section):
    """How a model is scored."""

    metric: list[MetricSection] = Field(description="A name, a mapping, or a list of them.", min_length=1)
    postprocess: list[PostprocessSection] = Field(
        default_factory=list, description="Steps from raw outputs to what the metric takes, in order."
    )
    dataloader: Dataloader | None = Field(
        None, description="Evaluation data; only a job whose data come from Python may leave it out."
    )
    held_out: float | Dataloader = Field(
        0.0, description="Share of the samples kept for the final verdict, or a dataloader of its own."
    )

    _metrics = field_validator(
        "metric", mode="before", json_schema_input_type=str | MetricSection | list[str | MetricSection]
    )(named_list)
    _steps = field_validator(
        "postprocess", mode="before", json_schema_input_type=str | PostprocessSection | list[str | PostprocessSection]
    )(named_list)

    @field_validator("held_out")
    @classmethod
    def _share(cls, value: float | Dataloader) -> float | Dataloader:
        if isinstance(value, float) and not 0 <= value < 1:
            raise ValueError("held_out is a share of the samples: at least 0 and below 1")
        return value


class PerformanceSection(Section):
    """How latency is measured."""

    warmup: int = Field(5, ge=0, description="Runs before the clock starts.")
    iterations: int = Field(
        100,
        ge=5,
        description="Interleaved rounds of a full measurement; more, up to 10 seconds, until intervals settle.",
    )
    batch_size: int | None = Field(None, ge=1, description="Samples per run; the evaluation's batch size by default.")
    cores_per_instance: int | None = Field(1, ge=1, description="Threads of one instance; null for the runtime's own.")
    num_of_instance: int = Field(1, ge=1, description="Processes side by side while speed is measured.")


class EvaluationSection(Section):
    """Accuracy and speed."""

    accuracy: AccuracySection | None = Field(None, description="How a model is scored.")
    performance: PerformanceSection = Field(default_factory=PerformanceSection, description="How speed is measured.")


class StrategySection(Section):
    """Which strategy; every further key is an option of that strategy."""

    name: Text = Field("auto", description="How plans are searched.", json_schema_extra={"examples": [*STRATEGIES]})

    model_config = ConfigDict(extra="allow")

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(f"unknown strategy '{value}': {did_you_mean(value, STRATEGIES)}")
        return value

    @property
    def options(self) -> dict[str, Any]:
        """The strategy's own keyword arguments."""
        return dict(self.model_extra or {})


class CriterionSection(Section):
    """How much accuracy may be lost."""

    relative: float | None = Field(None, ge=0, description="Largest loss as a share of the fp32 score; 0.01 is 1 %.")
    absolute: float | None = Field(None, ge=0, description="Largest loss in the metric's own unit.")
    higher_is_better: bool | None = Field(None, description="Only needed for your own function.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of every interval.")
    guarantee: Literal["sample", "population"] = Field(
        "sample", description="sample: the measured loss decides; population: its upper bound must hold too."
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.relative is not None and self.absolute is not None:
            raise ValueError("give either relative or absolute, not both")
        return self


class ExitPolicySection(Section):
    """When the search ends; whatever comes first."""

    timeout: float | None = Field(None, gt=0, description="Seconds of search.")
    max_trials: int | None = Field(None, ge=1, description="Trials to run at most.")
    first_pass: bool = Field(False, description="Stop at the first accepted plan that is faster than fp32.")


class TuningSection(Section):
    """How plans are searched and judged."""

    strategy: StrategySection = Field(default_factory=StrategySection, description="A name, or name and options.")
    accuracy_criterion: CriterionSection = Field(
        default_factory=CriterionSection, description="How much accuracy may be lost."
    )
    objective: Quantity = Field("latency", description="What is made small once the criterion holds.")
    objectives: Annotated[dict[Quantity, Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = Field(
        None, description="Several objectives with their weights; takes the place of objective."
    )
    exit_policy: ExitPolicySection = Field(default_factory=ExitPolicySection, description="When the search ends.")
    random_seed: int = Field(0, ge=0, lt=2**32, description="Equal seeds and data give equal plans.")
    workspace: Text = Field("autoq_workspace", description="Folder for store, cache and results.")

    _strategy = field_validator("strategy", mode="before", json_schema_input_type=str | StrategySection)(named)


class RunnerSection(Section):
    """Where trials run."""

    kind: Literal["in_process", "subprocess"] = Field("subprocess", description="A child process survives any crash.")
    memory: Bytes | None = Field(None, description="Limit per child, in bytes or with a unit: 4GB.")
    timeout: float | None = Field(None, gt=0, description="Seconds one trial may take.")


class Job(Section):
    """A whole job file."""

    model: ModelSection = Field(description="Which model, and which framework tunes it.")
    quantization: QuantizationSection = Field(
        default_factory=QuantizationSection, description="How the model may be quantized."
    )
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection, description="Accuracy and speed.")
    tuning: TuningSection = Field(default_factory=TuningSection, description="How plans are searched and judged.")
    runner: RunnerSection = Field(default_factory=RunnerSection, description="Where trials run.")
    deployment: DeploymentSection | None = Field(
        None, description="Where the tuned model will run; it is exported and scored there again."
    )
    base: Path = Field(default=Path(), exclude=True, description="Folder that relative paths start from.", repr=False)

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """The file this job was read from."""
        return self._origin

    def resolve(self, path: str) -> Path:
        """A path of the job file, relative to the folder the file lies in; ``~`` is the home folder."""
        # Path.expanduser raises for a user that does not exist; such a path is a missing file, told later.
        return self.base / os.path.expanduser(path)  # noqa: PTH111

    def where(self, *path: str | int, of_key: bool = False) -> str | None:
        """``file:line:column`` of what stands at a key path, for errors; None for a job made in Python."""
        return self._origin.where(path, of_key=of_key)

    def placed(self, base: Path, origin: Origin) -> Job:
        """The same job, read from `origin` in folder `base`."""
        job = self.model_copy(update={"base": base})
        job._origin = origin
        return job
