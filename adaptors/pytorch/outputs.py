"""From what ``forward`` returns to tensors by name, and to NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from autoq.core.batch import Array
from autoq.core.errors import ModelError

OUTPUT = "output"


def flatten(raw: Any) -> dict[str, Tensor]:
    """The tensors of a nested output by name, in order.

    A single tensor is ``output``; items of a tuple or list are ``output_0``, ``output_1``, ...; entries of a dict (a
    Hugging Face ModelOutput is one), fields of a named tuple or dataclass go by their names. Nested names are joined
    with ``_``: ``boxes_0``. None is left out.

    Raises:
        ModelError: It holds something else, or no tensor at all.
    """
    found: dict[str, Tensor] = {}
    for name, value in _walk(raw, ""):
        found[_unused(name or OUTPUT, found)] = value
    if not found:
        raise ModelError(f"the model returns no tensor, but {type(raw).__name__}")
    return found


def to_numpy(tensor: Tensor) -> Array:
    """A NumPy array, of the same memory where possible; bfloat16 and quantized tensors become float32."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: Array = tensor.cpu().resolve_conj().resolve_neg().numpy()
    return array


def _walk(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if value is None:
        return
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _walk(item, _join(name, str(key)))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field, item in zip(value._fields, value, strict=True):
            yield from _walk(item, _join(name, field))
    elif isinstance(value, tuple | list):
        if len(value) == 1 and not name:
            yield from _walk(value[0], name)
            return
        for i, item in enumerate(value):
            yield from _walk(item, f"{name or OUTPUT}_{i}")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _walk(getattr(value, field.name), _join(name, field.name))
    elif isinstance(value, bool | int | float):
        yield name, torch.tensor(value)
    else:
        raise ModelError(
            f"the model returns a {type(value).__name__}, which autoq cannot read",
            where=f"output {name}" if name else None,
            hint="return tensors, or tuples, lists, dicts and dataclasses of tensors",
        )


def _join(prefix: str, name: str) -> str:
    return f"{prefix}_{name}" if prefix else name


def _unused(name: str, taken: Mapping[str, Tensor]) -> str:
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
