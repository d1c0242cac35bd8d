"""Calibrations as bytes: plain arrays and JSON, nothing that runs code when read."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from autoq.core.errors import DataError
from autoq.core.statistics import Calibration, TensorStatistics

_FORMAT = 1


def to_bytes(calibration: Calibration) -> bytes:
    """All but `Calibration.native`, which belongs to the framework that made it; see `from_bytes`."""
    tensors = list(calibration.tensors.values())
    header = {
        "format": _FORMAT,
        "samples": calibration.samples,
        "digest": calibration.digest,
        "names": list(calibration.tensors),
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        header=np.frombuffer(json.dumps(header).encode(), np.uint8),
        bounds=np.asarray([[t.minimum, t.maximum, t.low, t.high] for t in tensors], np.float64).reshape(-1, 4),
        elements=np.asarray([t.elements for t in tensors], np.int64),
        bins=np.asarray([t.counts.size for t in tensors], np.int64),
        counts=np.concatenate([np.zeros(0, np.int64), *(t.counts for t in tensors)]),
    )
    return buffer.getvalue()


def content_digest(model: str, statistics: Mapping[str, TensorStatistics]) -> str:
    """Content address of a calibration: the model's fingerprint, and what was seen of each tensor."""
    hashed = hashlib.sha256(model.encode())
    for name, seen in statistics.items():
        hashed.update(f"\0{name}\0{seen.elements}\0{seen.minimum!r}\0{seen.maximum!r}\0{seen.low!r}\0".encode())
        hashed.update(np.ascontiguousarray(seen.counts).tobytes())
    return hashed.hexdigest()[:16]


# RuntimeError covers an archive that a flipped bit marks as encrypted, or as packed in a way Python has not.
_DAMAGE = (ValueError, KeyError, TypeError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)


def from_bytes(data: bytes) -> Calibration:
    """The inverse of `to_bytes`.

    Raises:
        DataError: The bytes are damaged, or of another version of the format.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != _FORMAT:
                raise DataError(
                    f"calibration statistics of format {header['format']}, and this version reads {_FORMAT}"
                )
            bounds, elements, bins, counts = (arrays[k] for k in ("bounds", "elements", "bins", "counts"))
        parts = np.split(counts, np.cumsum(bins)[:-1]) if bins.size else []
        tensors = {
            name: TensorStatistics(float(low), float(high), part, float(left), float(right), int(number))
            for name, (low, high, left, right), part, number in zip(
                header["names"], bounds, parts, elements, strict=True
            )
        }
        if counts.size != bins.sum():
            raise DataError("calibration statistics are cut short")
        return Calibration(tensors, header["samples"], header["digest"])
    except _DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"calibration statistics cannot be read: {error}", hint="they have to be collected again"
        ) from error
