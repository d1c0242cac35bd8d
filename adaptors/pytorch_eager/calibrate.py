"""Statistics of what ops read and make, from one streaming pass over the fused float model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import running
from autoq.adaptors.pytorch.model import TorchModel
from autoq.adaptors.pytorch.outputs import to_numpy
from autoq.adaptors.pytorch.statistics import calibration_of, collectors_for, take_in
from autoq.adaptors.pytorch_eager.base import Base, base_of, watch
from autoq.core.batch import Array, Batch
from autoq.core.errors import AutoqError, DataError, ModelError
from autoq.core.statistics import Calibration, Needs
from autoq.core.suggest import did_you_mean


def collect(model: TorchModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
    """Statistics of the needed tensors. Memory does not grow with the number of batches.

    Raises:
        ModelError: There is no such tensor.
        DataError: The model fails on the data, or they drive a tensor to NaN or infinity.
    """
    base, collectors, samples = base_of(model), collectors_for(needs), 0

    def taking(name: str) -> Callable[[Any], None]:
        return lambda value: take_in(collectors[name], value)

    with _Watched(base, {name: taking(name) for name in needs.tensors}):
        for batch in batches:
            samples += batch.samples
            run(model, base.module, batch)
    return calibration_of(collectors, samples, model.fingerprint)


def observe(model: TorchModel, batches: Iterable[Batch], tensors: Sequence[str]) -> Iterator[Mapping[str, Array]]:
    """Values of tensors, batch by batch; of an op called twice, those of its last call.

    Raises:
        ModelError: There is no such tensor.
        DataError: The model fails on the data.
    """
    base = base_of(model)
    for batch in batches:
        found: dict[str, Array] = {}

        def keeping(name: str, found: dict[str, Array] = found) -> Callable[[Any], None]:
            def keep(value: Any) -> None:
                if isinstance(value, Tensor):
                    found[name] = to_numpy(value.clone())

            return keep

        with _Watched(base, {name: keeping(name) for name in tensors}):
            run(model, base.module, batch)
        yield {name: found[name] for name in tensors}


class _Watched:
    """Hooks on the base model, while inside."""

    def __init__(self, base: Base, watchers: Mapping[str, Callable[[Any], None]]) -> None:
        known = base.fusion.tensors
        for name in watchers:
            if name not in known:
                raise ModelError(f"the model computes no tensor '{name}'", hint=did_you_mean(name, known))
        self._base, self._watchers = base, watchers
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        for name, see in self._watchers.items():
            path, side = self._base.fusion.tensors[name]
            self._handles.append(watch(self._base.module, path, side, see))

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def run(model: TorchModel, module: nn.Module, batch: Batch) -> None:
    """Run a module on one batch, threads as they are.

    Raises:
        DataError: It fails.
    """
    args, kwargs = model.signature.bind(batch.inputs)
    try:
        with running():
            module(*_own(args), **dict(zip(kwargs, _own(tuple(kwargs.values())), strict=True)))
    except AutoqError:
        raise
    except Exception as error:
        raise DataError(
            f"the model fails on the calibration data: {type(error).__name__}: {first_line(error)}",
            hint="check the shapes and the preprocessing of the calibration data",
        ) from error


def _own(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copies: a model may write to its inputs, and these may be the user's memory."""
    return tuple(torch.clone(t) for t in tensors)
