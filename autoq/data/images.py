"""Folders of images."""

from __future__ import annotations

import csv
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from autoq.config.schema import ImagePreprocess, ImagesDataset
from autoq.core.batch import Array, Inputs
from autoq.core.digest import digest_of
from autoq.core.errors import ConfigError, DataError
from autoq.data.files import existing_file, fingerprint_files
from autoq.data.labels import pack_labels, typed_labels
from autoq.data.source import Indices

_CACHE_BYTES = 256 << 20
_HEADER = {"file", "filename", "file_name", "path", "image", "name"}


class ImageTable:
    """Images of a folder in the order of their relative paths.

    Decoded and cropped pixels stay in memory up to 256 MB, because every trial reads the same images again.

    Raises:
        DataError: No folder, no image, or labels that do not match the images.
        ConfigError: Preprocessing that makes no sense.
    """

    def __init__(self, spec: ImagesDataset, base: Path) -> None:
        self._spec = spec
        self._root = (base / Path(spec.root).expanduser()).resolve()
        if not self._root.is_dir():
            raise DataError(f"no such folder: '{self._root}'", hint="paths start from the job file's folder")
        known = set(Image.registered_extensions())
        try:
            found = [p for p in self._root.glob(spec.pattern) if p.suffix.lower() in known and p.is_file()]
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(f"'{spec.pattern}' is no file pattern: {error}") from error
        self._files = sorted(found, key=lambda p: p.relative_to(self._root).as_posix())
        if not self._files:
            raise DataError(
                f"no image matches '{spec.pattern}' in '{self._root}'", hint="the default pattern '**/*' finds all"
            )
        check_preprocess(spec.preprocess)
        self._labels = self._read_labels(base)
        self._cache: dict[int, Array] = {}
        self._cached_bytes = 0

    @property
    def rows(self) -> int:
        """How many images there are."""
        return len(self._files)

    @property
    def label_count(self) -> int | None:
        """One per image, or None."""
        return None if self._labels is None else len(self._labels)

    @cached_property
    def fingerprint(self) -> str:
        """Content address of images, labels and preprocessing."""
        names = [p.relative_to(self._root).as_posix() for p in self._files]
        spec = self._spec.model_dump(mode="json", exclude={"root"})
        # With `labels: folder` they depend on every sub-folder, one without images included.
        return digest_of([names, fingerprint_files(self._files), self._labels, spec])

    def labels(self, items: Indices) -> Any:
        """Labels by number."""
        return pack_labels([(self._labels or [])[int(i)] for i in items])

    def inputs(self, rows: Indices) -> Inputs:
        """Preprocessed images, stacked."""
        spec = self._spec.preprocess
        images = [self._pixels(int(i)) for i in rows]
        for i, image in zip(rows, images, strict=True):
            if image.shape != images[0].shape:
                raise DataError(
                    f"the image is {_size(image)}, '{self._files[int(rows[0])].name}' of the same batch "
                    f"is {_size(images[0])}",
                    where=str(self._files[int(i)]),
                    hint="set preprocess.resize and preprocess.crop, or batch_size: 1",
                )
        stacked = normalize(np.stack(images), spec)
        return {self._spec.input: stacked} if self._spec.input else stacked

    def _pixels(self, number: int) -> Array:
        if number in self._cache:
            return self._cache[number]
        pixels = read_image(self._files[number], self._spec.preprocess)
        if self._cached_bytes + pixels.nbytes <= _CACHE_BYTES:
            self._cache[number] = pixels
            self._cached_bytes += pixels.nbytes
        return pixels

    def _read_labels(self, base: Path) -> list[Any] | None:
        if self._spec.labels == "none":
            return None
        if self._spec.labels == "folder":
            return self._folder_labels()
        path = existing_file(base / Path(self._spec.labels).expanduser())
        by_name = _label_rows(path)
        labels = []
        for file in self._files:
            name = file.relative_to(self._root).as_posix()
            if name not in by_name:
                raise DataError(
                    f"image '{name}' has no label", where=str(path), hint="write one line 'file,label' each"
                )
            labels.append(by_name[name])
        return typed_labels(labels)

    def _folder_labels(self) -> list[Any]:
        parents = [file.relative_to(self._root).parts for file in self._files]
        for file, parts in zip(self._files, parents, strict=True):
            if len(parts) < 2:
                raise DataError("labels: folder needs every image in a sub-folder of its class", where=str(file))
        classes = {name: i for i, name in enumerate(sorted(p.name for p in self._root.iterdir() if p.is_dir()))}
        return [classes[parts[0]] for parts in parents]


def check_preprocess(spec: ImagePreprocess) -> None:
    """Raise `ConfigError` for settings that contradict each other."""
    if spec.dtype == "uint8" and (spec.scale, set(spec.mean), set(spec.std)) != (1.0, {0.0}, {1.0}):
        raise ConfigError("preprocess.dtype uint8 keeps raw pixels: leave scale, mean and std out")


def read_image(path: Path, spec: ImagePreprocess) -> Array:
    """Pixels ``uint8 [height, width, channels]``, resized (bilinear) and centre-cropped.

    Raises:
        DataError: The file is no readable image, or smaller than the crop.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                converted = image.convert("L" if spec.mode == "L" else "RGB")
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"the image cannot be read: {error}", where=str(path), hint="repair or remove it") from error
    resized = _crop(_resize(converted, spec.resize), spec.crop, path)
    pixels = np.asarray(resized, dtype=np.uint8)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(pixels[..., ::-1]) if spec.mode == "BGR" else pixels


def normalize(pixels: Array, spec: ImagePreprocess) -> Array:
    """``(pixels / scale - mean) / std`` in the layout and dtype asked for.

    Args:
        pixels: ``uint8 [images, height, width, channels]``.
        spec: The job's preprocessing.
    """
    if spec.dtype == "float32":
        # One multiplication and one addition per pixel, with the constants worked out in double precision.
        std = np.asarray(spec.std, dtype=np.float64)
        factor = (1 / (spec.scale * std)).astype(np.float32)
        shift = (-np.asarray(spec.mean, dtype=np.float64) / std).astype(np.float32)
        pixels = pixels.astype(np.float32) * factor + shift
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) if spec.layout == "NCHW" else pixels


def _resize(image: Image.Image, size: int | list[int] | None) -> Image.Image:
    if size is None:
        return image
    if isinstance(size, list):
        height, width = size
    else:
        ratio = size / min(image.size)
        width, height = max(size, round(image.width * ratio)), max(size, round(image.height * ratio))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _crop(image: Image.Image, size: int | list[int] | None, path: Path) -> Image.Image:
    if size is None:
        return image
    height, width = size if isinstance(size, list) else (size, size)
    if image.width < width or image.height < height:
        raise DataError(
            f"the image is {image.height}×{image.width}, smaller than the crop {height}×{width}",
            where=str(path),
            hint="set preprocess.resize to at least the crop",
        )
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _label_rows(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the label file cannot be read: {error}", where=str(path)) from error
    labels = {}
    for number, row in rows:
        if len(row) != 2:
            raise DataError(f"a line holds file,label, this one {len(row)} values", where=f"{path}:{number}")
        if number == 1 and row[0].strip().lower() in _HEADER:
            continue
        labels[row[0].strip()] = row[1].strip()
    return labels


def _size(image: Array) -> str:
    return f"{image.shape[0]}×{image.shape[1]}"
