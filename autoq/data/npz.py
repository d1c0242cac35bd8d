"""Arrays in .npz and .npy files, mapped instead of loaded where the file allows it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib import format as npy

from autoq.config.schema import NpzDataset
from autoq.core.batch import Array, Inputs
from autoq.core.digest import digest_of
from autoq.core.errors import DataError
from autoq.core.suggest import did_you_mean
from autoq.data.arrays import ArrayTable
from autoq.data.files import existing_file, fingerprint_files

_LOCAL_HEADER = 30


def open_npz(spec: NpzDataset, base: Path) -> ArrayTable:
    """The arrays of a file.

    Raises:
        DataError: The file or an array is missing or damaged, or arrays do not fit together.
    """
    path = existing_file(base / Path(spec.path).expanduser())
    files = [path]
    if path.suffix == ".npy":
        arrays: Mapping[str, Array] = {"array": map_npy(path)}
    else:
        arrays = read_npz(path)
    labels = None
    label_names: set[str] = set()
    if spec.labels is not None and spec.labels.endswith(".npy") and spec.labels not in arrays:
        label_path = existing_file(base / Path(spec.labels).expanduser())
        files.append(label_path)
        labels = map_npy(label_path)
    elif spec.labels is not None:
        labels = _array(arrays, spec.labels, path)
        label_names = {spec.labels}
    inputs = _inputs(spec, {n: a for n, a in arrays.items() if n not in label_names}, path)
    try:
        read = spec.model_dump(mode="json", exclude={"path"})
        return ArrayTable(inputs, labels, digest_of([fingerprint_files(files), read]))
    except DataError as error:
        raise DataError(error.message, where=str(path), hint=error.hint) from error


def _inputs(spec: NpzDataset, arrays: Mapping[str, Array], path: Path) -> Inputs:
    if path.suffix == ".npy":
        names = list(spec.inputs or [])
        if len(names) > 1:
            raise DataError(f"a .npy file holds one array, but the job names {len(names)} inputs", where=str(path))
        only = arrays["array"]
        return {names[0]: only} if isinstance(spec.inputs, dict) else only
    if isinstance(spec.inputs, dict):
        return {name: _array(arrays, array, path) for name, array in spec.inputs.items()}
    if isinstance(spec.inputs, list):
        return [_array(arrays, array, path) for array in spec.inputs]
    if not arrays:
        raise DataError("the file holds no input array", where=str(path))
    return dict(arrays) if len(arrays) > 1 else next(iter(arrays.values()))


def _array(arrays: Mapping[str, Array], name: str, path: Path) -> Array:
    if name not in arrays:
        raise DataError(f"the file has no array '{name}'", where=str(path), hint=did_you_mean(name, arrays))
    return arrays[name]


def map_npy(path: Path) -> Array:
    """The array of a .npy file, mapped read-only."""
    try:
        return cast("Array", np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(path, error) from error


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of a .npz file by name: mapped when stored, loaded when compressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            if not members:
                raise DataError("the archive holds no arrays", where=str(path), hint="write it with numpy.savez")
            return {m.filename.removesuffix(".npy"): _member(archive, m, path) for m in members}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, struct.error, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        raise _damaged(path, error) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Array:
    if member.compress_type == zipfile.ZIP_STORED and member.file_size:
        mapped = _map_member(member, path)
        if mapped is not None:
            return mapped
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)


def _map_member(member: zipfile.ZipInfo, path: Path) -> Array | None:
    """A stored member mapped in place, or None when its form cannot be mapped."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        file.seek(member.header_offset + _LOCAL_HEADER + name_length + extra_length)
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            return None
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject or 0 in shape:
            return None
        offset = file.tell()
    order = "F" if fortran else "C"
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)  # type: ignore[call-overload,no-any-return]


def _damaged(path: Path, error: Exception) -> DataError:
    if "pickle" in str(error).lower():
        return DataError(
            "the file holds Python objects, which are not read for safety",
            where=str(path),
            hint="store plain numeric or string arrays, e.g. padded to one shape",
        )
    return DataError(
        f"the file cannot be read: {error}", where=str(path), hint="write it again with numpy.save or savez"
    )
