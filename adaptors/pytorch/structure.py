"""How a model nests what it returns, as plain data: what was saved returns the same again."""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from autoq.core.errors import TrialError

Structure = Mapping[str, Any] | None
"""One of ``{"tensor": None}``, ``{"tuple": [...]}``, ``{"list": [...]}``, ``{"fields": [[name, ...], ...]}`` of a named
tuple, ``{"dict": [[key, ...], ...]}``, and None where the model returns None."""

_TENSOR: Mapping[str, Any] = {"tensor": None}


class Outputs(dict[str, Any]):
    """Outputs by name, as entries and as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the model has no output '{name}'; it has: {', '.join(map(str, self))}") from None


def structure_of(raw: Any) -> Structure:
    """The structure of what ``forward`` returned; for all that `outputs.flatten` takes, in its order."""
    if raw is None:
        return None
    if isinstance(raw, Mapping):
        return {"dict": [[key if isinstance(key, int) else str(key), structure_of(v)] for key, v in raw.items()]}
    if isinstance(raw, tuple) and hasattr(raw, "_fields"):
        return {"fields": [[name, structure_of(v)] for name, v in zip(raw._fields, raw, strict=True)]}
    if isinstance(raw, tuple | list):
        return {"tuple" if isinstance(raw, tuple) else "list": [structure_of(v) for v in raw]}
    if dataclasses.is_dataclass(raw) and not isinstance(raw, type):
        return {"dict": [[f.name, structure_of(getattr(raw, f.name))] for f in dataclasses.fields(raw)]}
    return _TENSOR


def structured(structure: Structure, tensors: Sequence[Tensor]) -> Any:
    """Tensors in order, nested as a structure says. Dicts and dataclasses become `Outputs`.

    Raises:
        TrialError: There are more or fewer than it has.
    """
    left = iter(tensors)
    try:
        nested = _nested(structure, left)
    except StopIteration:
        raise TrialError(f"the model gave {len(tensors)} tensors, fewer than when it was saved") from None
    if next(left, None) is not None:
        raise TrialError(f"the model gave {len(tensors)} tensors, more than when it was saved")
    return nested


def _nested(structure: Structure, left: Iterator[Tensor]) -> Any:
    if structure is None:
        return None
    ((kind, items),) = structure.items()
    match kind:
        case "tensor":
            return next(left)
        case "tuple":
            return tuple([_nested(item, left) for item in items])
        case "list":
            return [_nested(item, left) for item in items]
        case "fields":
            made = namedtuple("Outputs", [name for name, _ in items])  # type: ignore[misc]
            return made(*[_nested(item, left) for _, item in items])
        case "dict":
            return Outputs((key, _nested(item, left)) for key, item in items)
    raise ValueError(f"unknown structure '{kind}'")
