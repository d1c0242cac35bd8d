"""Run PyTorch code and leave the user's process as it was."""

from __future__ import annotations

import copy
import io
import logging
import random
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TextIO, TypeVar

import numpy as np
import torch
from torch import nn

from autoq.core.errors import ModelError

ENGINE = "onednn"
"""The quantized engine of every candidate: it needs no reduced range on processors with VNNI or AMX."""

# What the framework says about itself, and no user of autoq can act on.
_NOISE = (
    "torch.ao.quantization is deprecated",
    "torch.jit.*deprecated",
    "`torch.jit.* is deprecated",
    "must run observer before calling calculate_qparams",
    "Please use quant_min and quant_max to specify the range for observers",
    "_aminmax is deprecated",
    "reduce_range will be deprecated",
    "TypedStorage is deprecated",
    "Converting a tensor to a Python",
    "Using a non-tuple sequence for multidimensional indexing",
    "You are using `torch.load` with `weights_only=False`",
    "The given NumPy array is not writable",
    "isinstance.treespec, LeafSpec.* is deprecated",
    "torch.quantize_per_tensor, torch.quantize_per_channel and other quantized tensor creation",
)

M = TypeVar("M", bound=nn.Module)


@contextmanager
def running(threads: int | None = None) -> Iterator[None]:
    """Inference: the quantized engine, threads and torch's random state are restored, no gradients are recorded.

    Args:
        threads: Intra-op threads; None leaves them as they are.
    """
    quantized = torch.backends.quantized
    engine, before = quantized.engine, torch.get_num_threads()
    state = torch.get_rng_state()
    try:
        if engine != ENGINE:
            quantized.engine = ENGINE
        if threads is not None and threads != before:
            torch.set_num_threads(threads)
        with torch.no_grad():
            yield
    finally:
        torch.set_rng_state(state)
        if threads is not None and threads != before:
            torch.set_num_threads(before)
        if engine != ENGINE:
            quantized.engine = engine


@contextmanager
def guarded(threads: int | None = None) -> Iterator[None]:
    """Like `running`, for loading and building: all random states are restored, and framework noise is silent.

    Args:
        threads: Intra-op threads; None leaves them as they are.
    """
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    try:
        with running(threads), warnings.catch_warnings():
            for message in _NOISE:
                warnings.filterwarnings("ignore", message=f".*{message}")
            _first_quantized_tensor()
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_default_dtype(dtype)


@cache
def _first_quantized_tensor() -> None:
    # The framework warns of the first one in a process. Without this one, that would be in the middle of a prediction.
    torch.quantize_per_tensor(torch.zeros(1), 1.0, 0, torch.quint8)


def copy_of(module: M, *, share_weights: bool = False) -> M:
    """A deep copy in evaluation mode, without the hooks of the original's gradients.

    Args:
        module: Stays as it is.
        share_weights: Let the copy hold the very parameters of the original. Only for copies whose parameters are
            replaced, never written to.

    Raises:
        ModelError: It cannot be copied.
    """
    memo: dict[int, object] = {id(p): p for p in module.parameters()} if share_weights else {}
    try:
        duplicate: M = copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError, NotImplementedError, RecursionError) as error:
        raise ModelError(
            f"the model cannot be copied: {type(error).__name__}: {error}",
            where=type(module).__name__,
            hint="keep locks, files, generators and tensors with gradients out of the module's attributes",
        ) from error
    duplicate.eval()
    return duplicate


@contextmanager
def quiet() -> Iterator[None]:
    """Tracing, exporting, compiling: what is warned of, logged and printed then stays away from the user.

    Such tools run the model's code in ways it was not written for; what it warns of when it really runs is not touched.
    """
    stderr = sys.stderr
    sys.stderr = _Mute(stderr)  # the exporter prints the graph of a model it cannot capture
    try:
        with errors_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stderr = stderr


@contextmanager
def errors_only() -> Iterator[None]:
    """The framework logs nothing below an error, e.g. which of its optional libraries it does not find."""
    loggers = [logging.getLogger(name) for name in ("torch", "torchao")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Mute(io.TextIOBase):
    """Drops what this thread prints; other threads print as before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()
