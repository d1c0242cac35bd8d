"""One batch of inputs on its way into another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autoq.core.batch import Array, Inputs

_ARRAY, _LIST = "autoq.array", "autoq.list."


def write_inputs(inputs: Inputs, path: Path) -> None:
    """Write a batch as an .npz file, without pickles."""
    arrays: dict[str, Array]
    if isinstance(inputs, Mapping):
        arrays = dict(inputs)
    elif isinstance(inputs, np.ndarray):
        arrays = {_ARRAY: inputs}
    else:
        arrays = {f"{_LIST}{i}": array for i, array in enumerate(inputs)}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def read_inputs(path: Path) -> Inputs:
    """Read what `write_inputs` wrote, in the same form."""
    with np.load(path, allow_pickle=False) as archive:
        arrays: dict[str, Array] = {name: archive[name] for name in archive.files}
    if _ARRAY in arrays:
        return arrays[_ARRAY]
    if arrays and all(name.startswith(_LIST) for name in arrays):
        return [arrays[f"{_LIST}{i}"] for i in range(len(arrays))]
    return arrays
