"""The job file's schema. Keys follow Intel Neural Compressor 1.x where it had one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from autoq.core.precision import DType, Granularity, Mode, Observer, Scheme

Framework = Literal["onnxrt_qdq", "onnxrt_qlinearops", "onnxrt_integerops", "toy"]

Approach = Literal[
    "post_training_static_quant",
    "post_training_dynamic_quant",
    "post_training_auto_quant",
]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are not coerced, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value


class ModelSection(Section):
    """Which model, and which framework tunes it."""

    name: str = Field("model", description="Name shown in reports.")
    framework: Framework = Field(description="Adaptor that tunes the model.")
    path: str | None = Field(None, description="Model file or folder, relative to the job file.")
    inputs: list[str] = Field(default_factory=list, description="Input names, in order; the model's own by default.")
    outputs: list[str] = Field(default_factory=list, description="Output names, in order; the model's own by default.")


class ImagePreprocess(Section):
    """How an image file becomes an array, in this order: resize, crop, scale, normalize, layout."""

    mode: Literal["RGB", "BGR", "L"] = "RGB"
    resize: int | list[int] | None = Field(None, description="Shorter side, or [height, width].")
    crop: int | list[int] | None = Field(None, description="Centre crop: side, or [height, width].")
    scale: float = Field(1.0, description="Pixels (0-255) are divided by this first.")
    mean: list[float] = Field(default_factory=lambda: [0.0], description="Subtracted, per channel or one for all.")
    std: list[float] = Field(default_factory=lambda: [1.0], description="Divided by, per channel or one for all.")
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "uint8"] = "float32"


class ImagesDataset(Section):
    """A folder of images; one sample per file, in name order."""

    root: str
    pattern: str = "**/*"
    labels: Literal["folder", "none"] | str = Field(
        "none", description="'folder': sub-folder order; a path: CSV of file,label; 'none': no labels."
    )
    preprocess: ImagePreprocess = Field(default_factory=ImagePreprocess)
    input: str | None = Field(None, description="Model input it feeds; the only one by default.")


class NpzDataset(Section):
    """Arrays in one .npz file, or one .npy file for a single input."""

    path: str
    inputs: dict[str, str] | list[str] | None = Field(
        None, description="Model input → array name, or array names in input order; every array but the labels."
    )
    labels: str | None = Field(None, description="Name of the label array, or path of a .npy file.")


class TableDataset(Section):
    """Rows of a .jsonl, .csv or .parquet file; one sample per row."""

    path: str
    inputs: dict[str, str] | list[str] = Field(description="Model input → column, or columns in input order.")
    labels: str | None = Field(None, description="Column of the labels.")
    dtype: str | None = Field(None, description="NumPy dtype inputs are converted to, e.g. float32 or int64.")


class PythonDataset(Section):
    """A Python callable ``package.module:function`` that returns an iterable of batches or samples."""

    function: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    path: str | None = Field(None, description="Folder put in front of the import path, relative to the job file.")


class Dataset(Section):
    """Exactly one kind of source."""

    images: ImagesDataset | None = None
    npz: NpzDataset | None = None
    jsonl: TableDataset | None = None
    csv: TableDataset | None = None
    parquet: TableDataset | None = None
    python: PythonDataset | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [k for k in type(self).model_fields if getattr(self, k) is not None]
        if len(given) != 1:
            kinds = ", ".join(type(self).model_fields)
            raise ValueError(f"name exactly one kind of dataset ({kinds}), not {len(given)}")
        return self


class Dataloader(Section):
    """Where samples come from and how they are batched."""

    dataset: Dataset
    batch_size: int = Field(1, ge=1, description="Samples per batch.")
    rows_per_sample: int = Field(1, ge=1, description="Consecutive input rows that make one sample, e.g. 2 for pairs.")
    offset: int = Field(0, ge=0, description="Samples to skip at the beginning.")
    limit: int | None = Field(None, ge=1, description="Samples to use at most.")


class CalibrationSection(Section):
    """Samples that fix the ranges of static quantization."""

    sampling_size: int = Field(64, ge=1, description="Samples to calibrate on.")
    dataloader: Dataloader | None = Field(None, description="The evaluation data by default, labels unused.")


class TensorRules(Section):
    """Which quantizations of a tensor are allowed; one value or a list each."""

    dtype: list[DType] | None = None
    scheme: list[Scheme] | None = None
    granularity: list[Granularity] | None = None
    observer: list[Observer] | None = None

    model_config = ConfigDict(strict=False)

    _listed = field_validator("dtype", "scheme", "granularity", "observer", mode="before")(_one_or_many)


class OpRules(Section):
    """What is said of the ops a pattern matches."""

    weight: TensorRules = Field(default_factory=TensorRules)
    activation: TensorRules = Field(default_factory=TensorRules)
    modes: list[Mode] | None = Field(None, description="Allowed modes, e.g. [static, dynamic].")
    fallback: bool | None = Field(None, description="False keeps the op quantized.")

    model_config = ConfigDict(strict=False)

    _listed = field_validator("modes", mode="before")(_one_or_many)


class QuantizationSection(Section):
    """How the model may be quantized."""

    approach: Approach = "post_training_static_quant"
    calibration: CalibrationSection = Field(default_factory=CalibrationSection)
    model_wise: OpRules = Field(default_factory=OpRules)
    optype_wise: dict[str, OpRules] = Field(default_factory=dict, description="By op type, wildcard or expression.")
    op_wise: dict[str, OpRules] = Field(default_factory=dict, description="By op name, wildcard or expression.")
    recipes: dict[str, bool | dict[str, float | int | str | bool]] = Field(
        default_factory=dict, description="Whole-model rewrites: true, false, or their arguments."
    )


class MetricSection(Section):
    """One metric; its own limit overrides the job's criterion."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    relative: float | None = None
    absolute: float | None = None
    higher_is_better: bool | None = Field(None, description="Only needed for your own function.")

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.relative is not None and self.absolute is not None:
            raise ValueError("give either relative or absolute, not both")
        return self


class PostprocessSection(Section):
    """One step between raw outputs and the metric: a name, or ``package.module:function``."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _named_list(value: Any) -> Any:
    if isinstance(value, str | dict):
        value = [value]
    return [_named(v) for v in value] if isinstance(value, list) else value


class AccuracySection(Section):
    """How a model is scored."""

    metric: list[MetricSection] = Field(description="A name, a mapping, or a list of them.", min_length=1)
    postprocess: list[PostprocessSection] = Field(default_factory=list)
    dataloader: Dataloader
    held_out: float | Dataloader = Field(
        0.0, description="Share of the samples kept for the final verdict, or a dataloader of its own."
    )

    _metrics = field_validator("metric", mode="before")(_named_list)
    _steps = field_validator("postprocess", mode="before")(_named_list)

    @field_validator("held_out")
    @classmethod
    def _share(cls, value: float | Dataloader) -> float | Dataloader:
        if isinstance(value, float) and not 0 <= value < 1:
            raise ValueError("held_out is a share of the samples: at least 0 and below 1")
        return value


class PerformanceSection(Section):
    """How latency is measured."""

    warmup: int = Field(5, ge=0, description="Runs before the clock starts.")
    iterations: int = Field(100, ge=5, description="Interleaved rounds at most, for a full measurement.")
    batch_size: int | None = Field(None, ge=1, description="Samples per run; the evaluation's batch size by default.")
    cores_per_instance: int | None = Field(1, ge=1, description="Threads of one instance.")
    num_of_instance: int = Field(1, ge=1, description="Instances side by side (throughput).")


class EvaluationSection(Section):
    """Accuracy and speed."""

    accuracy: AccuracySection | None = None
    performance: PerformanceSection = Field(default_factory=PerformanceSection)


class StrategySection(Section):
    """Which strategy; every further key is an option of that strategy."""

    name: str = "basic"

    model_config = ConfigDict(extra="allow")


class CriterionSection(Section):
    """How much accuracy may be lost."""

    relative: float | None = Field(None, ge=0)
    absolute: float | None = Field(None, ge=0)
    higher_is_better: bool | None = Field(None, description="Only needed for your own function.")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    guarantee: Literal["sample", "population"] = "sample"

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.relative is not None and self.absolute is not None:
            raise ValueError("give either relative or absolute, not both")
        return self


class ExitPolicySection(Section):
    """When the search ends; whatever comes first."""

    timeout: float | None = Field(None, gt=0, description="Seconds of search.")
    max_trials: int | None = Field(None, ge=1)
    first_pass: bool = False


class TuningSection(Section):
    """How plans are searched and judged."""

    strategy: StrategySection = Field(default_factory=StrategySection)
    accuracy_criterion: CriterionSection = Field(default_factory=CriterionSection)
    objective: Literal["latency", "throughput", "size", "memory"] = "latency"
    objectives: dict[Literal["latency", "throughput", "size", "memory"], Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Several objectives with their weights; takes the place of objective."
    )
    exit_policy: ExitPolicySection = Field(default_factory=ExitPolicySection)
    random_seed: int = Field(0, ge=0)
    workspace: str = Field("autoq_workspace", description="Folder for store, cache and results.")

    _strategy = field_validator("strategy", mode="before")(_named)


class RunnerSection(Section):
    """Where trials run."""

    kind: Literal["in_process", "subprocess"] = "subprocess"
    memory: str | int | None = Field(None, description="Limit per child, in bytes or with a unit: 4GB.")
    timeout: float | None = Field(None, gt=0, description="Seconds one trial may take.")


class Job(Section):
    """A whole job file."""

    model: ModelSection
    quantization: QuantizationSection = Field(default_factory=QuantizationSection)
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)
    tuning: TuningSection = Field(default_factory=TuningSection)
    runner: RunnerSection = Field(default_factory=RunnerSection)
    base: Path = Field(default=Path(), exclude=True, description="Folder that relative paths start from.", repr=False)

    def resolve(self, path: str) -> Path:
        """A path of the job file, relative to the folder the file lies in."""
        return (self.base / path).expanduser()
