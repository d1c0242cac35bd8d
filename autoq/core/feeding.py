"""A batch as a runtime takes it: arrays by the names of a model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoq.core.batch import Array, Inputs, TensorSpec
from autoq.core.errors import DataError


def feed(inputs: Inputs, expected: Sequence[TensorSpec]) -> Mapping[str, Array]:
    """Arrays by input name.

    Raises:
        DataError: A name is missing or unknown, or there are too many or too few arrays.
    """
    if isinstance(inputs, Mapping):
        fed = {name: np.asarray(array) for name, array in inputs.items()}
        names = [s.name for s in expected]
        odd = next((n for n in fed if n not in names), None) or next((n for n in names if n not in fed), None)
        if odd is not None:
            problem = "does not take" if odd in fed else "needs"
            raise DataError(f"the model {problem} an input '{odd}'", hint=f"its inputs: {', '.join(names)}")
        return fed
    arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    if len(arrays) != len(expected):
        raise DataError(
            f"the model takes {len(expected)} inputs, and the batch has {len(arrays)}",
            hint=f"its inputs, in order: {', '.join(s.name for s in expected)}",
        )
    return {spec.name: np.asarray(array) for spec, array in zip(expected, arrays, strict=True)}
