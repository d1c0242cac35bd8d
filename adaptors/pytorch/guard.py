"""Run PyTorch code and leave the user's process as it was."""

from __future__ import annotations

import copy
import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

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
    "isinstance.treespec, LeafSpec. is deprecated",
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
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_default_dtype(dtype)


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
        duplicate = copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError, NotImplementedError, RecursionError) as error:
        raise ModelError(
            f"the model cannot be copied: {type(error).__name__}: {error}",
            where=type(module).__name__,
            hint="keep locks, files, generators and tensors with gradients out of the module's attributes",
        ) from error
    return duplicate.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Exporting and compiling: what the framework's own code warns of or logs stays away from the user."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(torch|torchao|copyreg)(\.|$)")
            yield
    finally:
        logger.setLevel(level)
