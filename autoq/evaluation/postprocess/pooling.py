"""From one vector per token to one vector per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autoq.core.batch import Array, Batch
from autoq.core.errors import EvaluationError
from autoq.core.suggest import did_you_mean
from autoq.evaluation.postprocess.base import Step, need_rank, one_array


def mean_pooling(mask: str = "attention_mask", output: str | int | None = None) -> Step:
    """Mean of the token vectors whose mask is not 0 (Reimers and Gurevych 2019, Sentence-BERT).

    Args:
        mask: Model input that holds the mask ``[rows, tokens]``.
        output: Output ``[rows, tokens, width]``; the first of that rank by default.
    """

    def step(value: Any, batch: Batch) -> Array:
        tokens = _tokens(value, output)
        if not isinstance(batch.inputs, Mapping) or mask not in batch.inputs:
            names = list(batch.inputs) if isinstance(batch.inputs, Mapping) else []
            raise EvaluationError(f"mean_pooling finds no input '{mask}'", hint=did_you_mean(mask, names))
        kept = np.asarray(batch.inputs[mask])
        if kept.shape != tokens.shape[:2]:
            raise EvaluationError(f"the mask '{mask}' is {list(kept.shape)}, the tokens are {list(tokens.shape)}")
        weights = (kept != 0).astype(tokens.dtype)[..., None]
        return np.asarray((tokens * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1))

    return step


def cls_pooling(output: str | int | None = None) -> Step:
    """The first token's vector.

    Args:
        output: Output ``[rows, tokens, width]``; the first of that rank by default.
    """
    return lambda value, _: _tokens(value, output)[:, 0]


def _tokens(value: Any, output: str | int | None) -> Array:
    if output is None and isinstance(value, Mapping):
        output = next((name for name, array in value.items() if array.ndim == 3), None)
    return need_rank(one_array(value, output), 3, "token vectors [rows, tokens, width]")
