"""Seconds per op, measured around its module."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from autoq.adaptors.pytorch.candidate import TorchCandidate
from autoq.adaptors.pytorch.execution import first_line
from autoq.adaptors.pytorch.guard import running
from autoq.core.adaptor import OpCosts
from autoq.core.batch import Inputs
from autoq.core.errors import DataError, TrialError

_WARMUP, _RUNS = 2, 7


def profile_modules(candidate: TorchCandidate, inputs: Inputs, ops: Mapping[str, nn.Module]) -> OpCosts:
    """Median seconds of one batch by op id; the rest of the whole run is the overhead.

    Args:
        candidate: Is run; its modules are hooked while it is.
        inputs: One batch.
        ops: The module that does an op, by op id, in the candidate's own module. A module called twice counts both.

    Raises:
        DataError: The batch does not fit.
        TrialError: The model failed.
    """
    clock = _Clock()
    handles = []
    for op, module in ops.items():
        handles.append(module.register_forward_pre_hook(clock.start(op)))
        handles.append(module.register_forward_hook(clock.stop(op), always_call=False))
    totals: list[float] = []
    runs: list[dict[str, float]] = []
    try:
        with running(candidate.options.threads):
            for _ in range(_WARMUP + _RUNS):
                clock.seconds = {}
                args, kwargs = candidate.signature.bind(inputs)
                started = time.perf_counter()
                candidate.run(*args, **kwargs)
                totals.append(time.perf_counter() - started)
                runs.append(clock.seconds)
    except DataError:
        raise
    except Exception as error:
        raise TrialError(
            f"the model failed while it was profiled: {type(error).__name__}: {first_line(error)}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    measured = runs[_WARMUP:]
    seconds = {op: statistics.median(run.get(op, 0.0) for run in measured) for op in measured[-1]}
    return OpCosts(seconds, max(0.0, statistics.median(totals[_WARMUP:]) - sum(seconds.values())))


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started: dict[str, float] = {}

    def start(self, op: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any) -> None:
            self._started[op] = time.perf_counter()

        return hook

    def stop(self, op: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, _result: Any) -> None:
            self.seconds[op] = self.seconds.get(op, 0.0) + time.perf_counter() - self._started[op]

        return hook
