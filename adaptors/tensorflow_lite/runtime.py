"""LiteRT's interpreter, made without what it prints, and how its errors read."""

from __future__ import annotations

import re
import warnings
from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from autoq.core.quiet import silent_stderr

_SIZES = (32, 256)
"""Tried in turn for sizes that a model leaves open."""


def make_interpreter(
    content: bytes,
    threads: int | None = None,
    *,
    keep_tensors: bool = False,
    allocated: bool = True,
    reference: bool = False,
) -> Any:
    """An interpreter with its tensors allocated.

    Sizes that a model leaves open are 1 until it is fed. Where it cannot run on so little, e.g. where convolutions
    without padding leave nothing of a picture, all but the number of samples are larger.

    Args:
        content: A ``.tflite`` file.
        threads: Threads of one inference; None for LiteRT's default, which is one.
        keep_tensors: Every intermediate tensor can be read after an inference. Each op then runs on its own.
        allocated: False where the shapes of its inputs are not known yet.
        reference: Run LiteRT's plain reference kernels, and no delegate.

    Raises:
        ValueError: The content is no model.
        RuntimeError: LiteRT has no kernel for an op, or its shapes do not fit.
    """
    failure: Exception | None = None
    with silent_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in (None, *_SIZES):
            try:
                interpreter = Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_preserve_all_tensors=keep_tensors,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO,
                )
                if size is not None and not _enlarged(interpreter, size):
                    break
                if allocated:
                    interpreter.allocate_tensors()
                return interpreter
            except (ValueError, RuntimeError) as error:
                # Of several failures, the first is of the model as it is.
                failure = failure or error
    # Raised here, where standard error is whole again: the message holds what was printed.
    assert failure is not None
    raise failure


def _enlarged(interpreter: Any, size: int) -> bool:
    """Give open sizes but the first of each input a number; whether there are any."""
    found = False
    for details in interpreter.get_input_details():
        signature = [int(n) for n in details["shape_signature"]]
        if any(n < 0 for n in signature[1:]):
            shape = [max(n, 1) if place == 0 else n if n >= 0 else size for place, n in enumerate(signature)]
            interpreter.resize_tensor_input(details["index"], shape)
            found = True
    return found


def reason(error: BaseException) -> str:
    """LiteRT's message in one line, without its source positions."""
    text = re.sub(r"\S*\.cc?p?p?:?\d*\s", "", str(error))
    return " ".join(text.split())[:400] or type(error).__name__
