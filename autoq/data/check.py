"""Whether a batch fits the model's inputs, with the casts that lose nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoq.core.batch import Array, Batch, Inputs, TensorSpec
from autoq.core.errors import DataError
from autoq.core.suggest import did_you_mean
from autoq.data.source import no_samples, row_count


def check_inputs(batch: Batch, input_specs: Sequence[TensorSpec], first_sample: int = 0) -> Batch:
    """The batch with its inputs by name, in the model's order and dtypes.

    Casts that are applied: float64 to float32, and integers to another width when every value fits.

    Args:
        batch: As a source gave it.
        input_specs: What the model takes.
        first_sample: Number of the batch's first sample, for messages.

    Raises:
        DataError: Names, number of inputs, ranks, shapes or dtypes do not fit, a value is NaN or infinite, or the
            batch is empty.
    """
    if batch.samples == 0:
        raise no_samples()
    named = _by_name(batch.inputs, input_specs)
    rows = row_count(batch.inputs)
    per_sample = max(rows // batch.samples, 1)
    sizes: dict[str, tuple[int, str]] = {}
    checked = {}
    for spec in input_specs:
        array = _cast(named[spec.name], spec, first_sample, per_sample)
        _check_shape(array, spec, sizes, first_sample)
        _check_finite(array, spec.name, first_sample, per_sample)
        checked[spec.name] = array
    return Batch(checked, batch.labels, batch.samples)


def _by_name(inputs: Inputs, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    names = [spec.name for spec in specs]
    if isinstance(inputs, Mapping):
        for name in inputs:
            if name not in names:
                raise DataError(f"the model has no input '{name}'", hint=did_you_mean(name, names))
        missing = [name for name in names if name not in inputs]
        if missing:
            raise DataError(
                f"the data give no values for the model's input '{missing[0]}'",
                hint=f"the model takes {', '.join(names)}; the data give {', '.join(inputs)}",
            )
        return dict(inputs)
    arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    if len(arrays) != len(names):
        raise DataError(
            f"the model takes {len(names)} inputs ({', '.join(names)}), the data give {len(arrays)} without names",
            hint="give a dict by input name, or a list with one array per input; a 2-tuple means (inputs, label)",
        )
    return dict(zip(names, arrays, strict=True))


def _cast(array: Array, spec: TensorSpec, first_sample: int, per_sample: int) -> Array:
    want = np.dtype(spec.dtype)
    have = array.dtype
    if have == want:
        return array
    if have.kind == want.kind == "f" and (want.itemsize > have.itemsize or (have.itemsize, want.itemsize) == (8, 4)):
        with np.errstate(over="ignore"):
            cast = array.astype(want)
        lost = np.isfinite(array) & ~np.isfinite(cast)
    elif (have.kind in "iu" and want.kind in "iu") or (have.kind == "b" and want.kind in "iu"):
        cast = array.astype(want)
        # Equal value and equal sign: a wrapped number may come back equal between int64 and uint64.
        lost = (cast.astype(have) != array) | ((cast < 0) != (array < 0)) if have.kind != "b" else np.zeros(1, bool)
    else:
        raise DataError(
            f"input '{spec.name}' takes {want.name}, the data give {have.name}",
            hint=_dtype_hint(have, want),
        )
    if lost.any():
        place = np.argwhere(lost)[0]
        raise DataError(
            f"input '{spec.name}' takes {want.name}, which cannot hold {array[tuple(place)]} "
            f"(sample {first_sample + (int(place[0]) // per_sample if len(place) else 0)})",
            hint=f"convert the data to {want.name} in range",
        )
    return cast


def _dtype_hint(have: np.dtype[np.generic], want: np.dtype[np.generic]) -> str:
    if have.kind in "iub" and want.kind == "f":
        return (
            f"integers are not converted silently, they may be raw pixels: scale them or convert to {want.name} "
            f"(dtype of a table, preprocess of images, .astype in Python)"
        )
    if have.kind == "f" and want.kind in "iu":
        return f"whole numbers such as token ids must be stored as {want.name}"
    return f"convert the data to {want.name}"


def _check_shape(array: Array, spec: TensorSpec, sizes: dict[str, tuple[int, str]], first_sample: int) -> None:
    if spec.shape is None:
        return
    shown = "[" + ", ".join("?" if d is None else str(d) for d in spec.shape) + "]"
    where = f"samples from {first_sample}"
    if array.ndim != len(spec.shape):
        hint = None
        if array.ndim == len(spec.shape) - 1:
            hint = "is the batch axis missing? Add it in front: array[None]"
        raise DataError(
            f"input '{spec.name}' takes rank {len(spec.shape)} {shown}, the data have rank {array.ndim} "
            f"{list(array.shape)}",
            where=where,
            hint=hint,
        )
    for axis, (want, have) in enumerate(zip(spec.shape, array.shape, strict=True)):
        if isinstance(want, int) and want != have:
            raise DataError(
                f"input '{spec.name}' takes {shown}, the data have {list(array.shape)}",
                where=where,
                hint=_shape_hint(axis, want, array.shape, spec.shape),
            )
        if isinstance(want, str):
            size, owner = sizes.setdefault(want, (have, spec.name))
            if size != have:
                raise DataError(
                    f"axis '{want}' is {size} in input '{owner}' and {have} in input '{spec.name}'", where=where
                )


def _fits(shape: Sequence[int], spec: Sequence[int | str | None]) -> bool:
    return all(not isinstance(want, int) or want == size for want, size in zip(spec, shape, strict=True))


def _shape_hint(axis: int, want: int, have: tuple[int, ...], spec: Sequence[int | str | None]) -> str | None:
    if axis == 0:
        return (
            f"the model's batch size is fixed: set batch_size so that every batch has {want} rows (last one included)"
        )
    if len(have) == 4 and _fits((have[0], have[3], have[1], have[2]), spec):
        return "the data look like NHWC, the model takes NCHW: transpose them, or set preprocess.layout"
    if len(have) == 4 and _fits((have[0], have[2], have[3], have[1]), spec):
        return "the data look like NCHW, the model takes NHWC: transpose them, or set preprocess.layout"
    return None


def _check_finite(array: Array, name: str, first_sample: int, per_sample: int) -> None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    place = np.argwhere(~np.isfinite(array))[0]
    sample = first_sample + (int(place[0]) // per_sample if len(place) else 0)
    raise DataError(
        f"input '{name}' holds {array[tuple(place)]} in sample {sample}",
        hint="remove the sample or repair the value: quantization ranges cannot be taken from it",
    )
