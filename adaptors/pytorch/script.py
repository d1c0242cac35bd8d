"""A module as TorchScript, verified on batches of other sizes than the one it was traced with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.flat import Flat
from autoq.adaptors.pytorch.guard import quiet
from autoq.core.errors import TrialError

_RUNS = 3


def traced(flat: Flat, example: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """Trace a module, and see that it gives the same outputs for one, two and three samples, and for other values.

    Raises:
        TrialError: It cannot be traced, or the trace computes something else.
    """
    tensors = tuple(example)
    try:
        with quiet():  # what the tracer warns of is checked below
            script = torch.jit.trace(
                flat,
                tensors,
                check_trace=False,
                strict=False,
                _store_inputs=False,  # they are the user's data
            )
    except Exception as error:
        raise TrialError(f"the model cannot be traced: {type(error).__name__}: {first_line(error)}") from error
    _require_same(flat, lambda *batch: script(*batch), tensors)
    return script


def scripted(flat: Flat, example: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """Compile a module's source to TorchScript, control flow included, and see that it gives the same outputs.

    Returns:
        The scripted model inside of `flat`; it takes and gives what the model itself does.

    Raises:
        TrialError: TorchScript does not know something its source uses, or computes something else.
    """
    try:
        with quiet():
            script = torch.jit.script(flat.model)
    except Exception as error:
        raise TrialError(f"the model cannot be scripted: {type(error).__name__}: {first_line(error)}") from error
    other = Flat(script, flat.signature)
    _require_same(flat, other, tuple(example))
    return script


def takes_other_sizes(flat: Flat, other: Callable[..., tuple[Tensor, ...]], example: Sequence[Tensor]) -> bool:
    """Whether a copy that is right for one size (length of a text, height and width) is right for half of it too."""
    halved = tuple(_halved(t) for t in example)
    try:
        expected = flat(*_copies(halved))
    except Exception:  # noqa: BLE001 - the model itself takes one size only, and will say so
        return True
    try:
        _require_equal(expected, other, halved)
    except TrialError:
        return False
    return True


def _copies(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(t.clone() for t in tensors)  # a model may write into its inputs


def _halved(tensor: Tensor) -> Tensor:
    axes = {2: (1,), 3: (1,), 4: (2, 3)}.get(tensor.ndim, ())
    for axis in axes:
        tensor = tensor.narrow(axis, 0, max(1, tensor.shape[axis] // 2))
    return tensor


def _batches(example: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """The example, one sample, three samples, and three of other magnitudes and of the other sign."""
    three = tuple(torch.cat([t, t, t])[:3] for t in example)
    scaled = tuple(t * 4 if t.is_floating_point() else t.flip(-1) for t in three)
    small = tuple(t / 16 if t.is_floating_point() else t for t in three)
    negated = tuple(-t if t.is_floating_point() else t for t in three)
    return [example, tuple(t[:1] for t in example), three, scaled, small, negated]


def _require_same(flat: Flat, other: Callable[..., tuple[Tensor, ...]], example: tuple[Tensor, ...]) -> None:
    for batch in _batches(example):
        try:
            expected = flat(*_copies(batch))
        except Exception:  # noqa: BLE001 - a model may refuse a batch of this size; then its copy need not run either
            continue
        # The interpreter optimizes after its first runs.
        for _ in range(_RUNS if batch is example else 1):
            _require_equal(expected, other, batch)


def _require_equal(
    expected: tuple[Tensor, ...], other: Callable[..., tuple[Tensor, ...]], batch: tuple[Tensor, ...]
) -> None:
    samples = batch[0].shape[0]
    try:
        with quiet():
            found = other(*_copies(batch))
    except RuntimeError as error:
        raise TrialError(
            f"as TorchScript the model fails on a batch of {samples}: {first_line(error)}",
            hint="its code computes a size once; write it with tensor operations",
        ) from error
    same = len(found) == len(expected) and all(
        a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
        for a, b in zip(expected, found, strict=True)
    )
    if not same:
        raise TrialError(
            f"as TorchScript the model computes something else on a batch of {samples}",
            hint="its way depends on data or on sizes; write that with tensor operations",
        )
