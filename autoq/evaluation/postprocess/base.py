"""What a step is, and how it finds its array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autoq.core.batch import Array, Batch, Outputs
from autoq.core.errors import EvaluationError
from autoq.core.suggest import did_you_mean

Postprocess = Callable[[Outputs, Batch], Any]
"""All steps of a job, one after the other."""

Step = Callable[[Any, Batch], Any]
"""One step: outputs or the result of the step before, and the batch, to the next result."""


def one_array(value: Any, output: str | int | None = None) -> Array:
    """The array a step works on: the output named, or the only one.

    Raises:
        EvaluationError: No output of that name, several outputs and none named, or no array.
    """
    if isinstance(value, Mapping):
        value = named_output(value, output)
    if not isinstance(value, np.ndarray):
        raise EvaluationError(f"this step takes an array, the step before gave {type(value).__name__}")
    return value


def named_output(outputs: Mapping[str, Array], output: str | int | None) -> Array:
    """One of several outputs by name or index.

    Raises:
        EvaluationError: It does not exist, or none is named and there are several.
    """
    names = list(outputs)
    if output is None:
        if len(names) != 1:
            raise EvaluationError(
                f"the model has {len(names)} outputs: {', '.join(names)}",
                hint="name one: a step {name: select, arguments: {output: NAME}} in front",
            )
        return outputs[names[0]]
    if isinstance(output, int):
        if not -len(names) <= output < len(names):
            raise EvaluationError(f"there is no output {output}, the model has {len(names)}")
        return outputs[names[output]]
    if output not in outputs:
        raise EvaluationError(f"there is no output '{output}'", hint=did_you_mean(output, names))
    return outputs[output]


def need_rank(array: Array, rank: int, what: str) -> Array:
    """The array itself.

    Raises:
        EvaluationError: It has another rank.
    """
    if array.ndim != rank:
        raise EvaluationError(f"this step takes {what}, not shape {list(array.shape)}")
    return array
