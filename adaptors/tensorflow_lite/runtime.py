"""LiteRT's interpreter, made without what it prints, and how its errors read."""

from __future__ import annotations

import re
import warnings
from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from autoq.core.quiet import silent_stderr


def make_interpreter(
    content: bytes,
    threads: int | None = None,
    *,
    keep_tensors: bool = False,
    allocated: bool = True,
    reference: bool = False,
) -> Any:
    """An interpreter with its tensors allocated.

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
        try:
            interpreter = Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_preserve_all_tensors=keep_tensors,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO,
            )
            if allocated:
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            failure = error
    # Raised here, where standard error is whole again: the message holds what was printed.
    if failure is not None:
        raise failure
    return interpreter


def reason(error: BaseException) -> str:
    """LiteRT's message in one line, without its source positions."""
    text = re.sub(r"\S*\.cc?p?p?:?\d*\s", "", str(error))
    return " ".join(text.split())[:400] or type(error).__name__
