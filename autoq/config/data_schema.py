"""The job's data sections: where samples come from, and how they are batched."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from autoq.config.section import Function, Section, Text

Side = Annotated[int, Field(ge=1, le=65536)]
HeightWidth = Annotated[list[Side], Field(min_length=2, max_length=2)]
PerChannel = Annotated[list[float], Field(min_length=1)]


class ImagePreprocess(Section):
    """How an image file becomes an array, in this order: resize, crop, scale, normalize, layout."""

    mode: Literal["RGB", "BGR", "L"] = Field("RGB", description="Channels, in order; L is one grey channel.")
    resize: Side | HeightWidth | None = Field(None, description="Shorter side, or [height, width].")
    crop: Side | HeightWidth | None = Field(None, description="Centre crop: side, or [height, width].")
    scale: float = Field(1.0, gt=0, description="Pixels (0-255) are divided by this first.")
    mean: PerChannel = Field(default_factory=lambda: [0.0], description="Subtracted, per channel or one for all.")
    std: PerChannel = Field(default_factory=lambda: [1.0], description="Divided by, per channel or one for all.")
    layout: Literal["NCHW", "NHWC"] = Field("NCHW", description="Order of the axes the model takes.")
    dtype: Literal["float32", "uint8"] = Field("float32", description="NumPy dtype the model takes.")

    @field_validator("std")
    @classmethod
    def _divides(cls, value: list[float]) -> list[float]:
        if any(v == 0 for v in value):
            raise ValueError("std is divided by and must not contain 0")
        return value

    @model_validator(mode="after")
    def _channels(self) -> Self:
        channels = 1 if self.mode == "L" else 3
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(f"{key} has {len(values)} values; mode {self.mode} takes 1 or {channels}")
        return self


class ImagesDataset(Section):
    """A folder of images; one sample per file, in name order."""

    root: Text = Field(description="Folder of the images, relative to the job file.")
    pattern: Text = Field("**/*", description="Which files, as a wildcard below root.")
    labels: Text = Field(
        "none", description="'folder': sub-folder order; a path: CSV of file,label; 'none': no labels."
    )
    preprocess: ImagePreprocess = Field(default_factory=ImagePreprocess, description="How a file becomes an array.")
    input: Text | None = Field(None, description="Model input it feeds; the only one by default.")


class NpzDataset(Section):
    """Arrays in one .npz file, or one .npy file for a single input."""

    path: Text = Field(description="The .npz or .npy file, relative to the job file.")
    inputs: dict[str, str] | list[str] | None = Field(
        None, description="Model input → array name, or array names in input order; every array but the labels."
    )
    labels: Text | None = Field(None, description="Name of the label array, or path of a .npy file.")


class TableDataset(Section):
    """Rows of a .jsonl, .csv or .parquet file; one sample per row."""

    path: Text = Field(description="The file, relative to the job file.")
    inputs: dict[str, str] | list[str] = Field(description="Model input → column, or columns in input order.")
    labels: Text | None = Field(None, description="Column of the labels.")
    dtype: Text | None = Field(None, description="NumPy dtype inputs are converted to, e.g. float32 or int64.")


class PythonDataset(Section):
    """A Python callable ``package.module:function`` that returns an iterable of batches or samples."""

    function: Function = Field(description="package.module:function")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the function.")
    path: Text | None = Field(None, description="Folder put in front of the import path, relative to the job file.")


class Dataset(Section):
    """Exactly one kind of source."""

    images: ImagesDataset | None = Field(None, description="A folder of images.")
    npz: NpzDataset | None = Field(None, description="Arrays in an .npz or .npy file.")
    jsonl: TableDataset | None = Field(None, description="One JSON object per line.")
    csv: TableDataset | None = Field(None, description="A CSV file with a header.")
    parquet: TableDataset | None = Field(None, description="A parquet file.")
    python: PythonDataset | None = Field(None, description="A Python function.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [k for k in type(self).model_fields if getattr(self, k) is not None]
        if len(given) != 1:
            kinds = ", ".join(type(self).model_fields)
            raise ValueError(f"name exactly one kind of dataset ({kinds}), not {len(given)}")
        return self


class Dataloader(Section):
    """Where samples come from and how they are batched."""

    dataset: Dataset = Field(description="Exactly one kind of source.")
    batch_size: int = Field(1, ge=1, description="Samples per batch.")
    rows_per_sample: int = Field(1, ge=1, description="Consecutive input rows that make one sample, e.g. 2 for pairs.")
    offset: int = Field(0, ge=0, description="Samples to skip at the beginning.")
    limit: int | None = Field(None, ge=1, description="Samples to use at most.")
