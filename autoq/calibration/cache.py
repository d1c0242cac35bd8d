"""Calibrations on disk, addressed by what they were made from."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autoq.calibration.io import from_bytes, to_bytes
from autoq.core.digest import digest_of
from autoq.core.errors import DataError, StoreError
from autoq.core.statistics import Calibration, Needs

COLLECTION = 1
"""Version of the way statistics are collected; raise it whenever the same data would give other statistics."""


@dataclass(frozen=True)
class CalibrationKey:
    """What determines a calibration.

    Attributes:
        model: Fingerprint of the model.
        data: Fingerprint of the calibration data.
        samples: Samples asked for.
        needs: Which statistics.
    """

    model: str
    data: str
    samples: int
    needs: Needs

    @cached_property
    def digest(self) -> str:
        """Content address, the version of the collecting code included."""
        return digest_of(
            {
                "collection": COLLECTION,
                "model": self.model,
                "data": self.data,
                "samples": self.samples,
                "tensors": list(self.needs.tensors),
                "histogram": self.needs.histogram,
            }
        )


class CalibrationCache:
    """One file per calibration in a folder, which is made when first needed.

    Several processes may share the folder: files appear whole or not at all.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_or_collect(self, key: CalibrationKey, collect: Callable[[], Calibration]) -> Calibration:
        """The calibration of `key`, from disk when it is there and sound, else collected and kept.

        A calibration with framework objects in `Calibration.native` is not kept: they have no neutral form.

        Raises:
            StoreError: The folder cannot be written.
        """
        path = self._folder / f"{key.digest}.npz"
        stored = _read(path)
        if stored is not None:
            return stored
        calibration = collect()
        if calibration.native is None:
            _write(path, to_bytes(calibration))
        return calibration


def _read(path: Path) -> Calibration | None:
    try:
        return from_bytes(path.read_bytes())
    except (OSError, DataError):
        return None  # missing, unreadable or damaged: it is collected again, and the file replaced


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".calibration-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise StoreError(
            f"the calibration cannot be kept: {error.strerror or error}",
            where=str(path.parent),
            hint="free disk space, or choose a workspace that can be written to",
        ) from error
