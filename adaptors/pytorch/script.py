"""A module as TorchScript, verified on batches of other sizes than the one it was traced with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.guard import quiet
from autoq.core.errors import TrialError

_RUNS = 3  # the interpreter optimizes after its first runs


def traced(flat: Flat, example: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """Trace a module, and see that it gives the same outputs for one, two and three samples, and for other values.

    Raises:
        TrialError: It cannot be traced, or the trace computes something else.
    """
    tensors = tuple(example)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # what it warns of is checked below
            script = torch.jit.trace(flat, tensors, check_trace=False, strict=False)
    except Exception as error:
        raise TrialError(f"the model cannot be traced: {type(error).__name__}: {first_line(error)}") from error
    for batch in _batches(tensors):
        _require_same(flat, script, batch)
    return script


def _batches(example: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """The example, one sample, three samples, and three of other magnitudes."""
    three = tuple(torch.cat([t, t, t])[:3] for t in example)
    scaled = tuple(t * 4 if t.is_floating_point() else t.flip(-1) for t in three)
    small = tuple(t / 16 if t.is_floating_point() else t for t in three)
    return [example, tuple(t[:1] for t in example), three, scaled, small]


def _require_same(flat: Flat, script: torch.jit.ScriptModule, batch: tuple[Tensor, ...]) -> None:
    try:
        expected = flat(*batch)
    except Exception:  # noqa: BLE001 - a model may refuse a batch of this size; then its trace need not run either
        return
    for _ in range(_RUNS):
        try:
            with quiet():
                found = script(*batch)
        except RuntimeError as error:
            raise TrialError(
                f"the traced model fails on a batch of {batch[0].shape[0]}: {first_line(error)}",
                hint="its code computes a size once; write it with tensor operations",
            ) from error
        same = len(found) == len(expected) and all(
            a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
            for a, b in zip(expected, found, strict=True)
        )
        if not same:
            raise TrialError(
                f"the traced model computes something else on a batch of {batch[0].shape[0]}",
                hint="its way depends on data or on sizes; write that with tensor operations",
            )
