"""Post-processing by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from autoq.core.batch import Batch, Outputs
from autoq.core.errors import AutoqError, ConfigError, EvaluationError
from autoq.core.function import is_function_name, load_function
from autoq.core.suggest import did_you_mean
from autoq.evaluation.postprocess.base import Postprocess, Step
from autoq.evaluation.postprocess.boxes import BoxDecoder, boxes
from autoq.evaluation.postprocess.elementwise import (
    argmax,
    l2_normalize,
    pair_cosine,
    select,
    sigmoid,
    softmax,
    squeeze,
)
from autoq.evaluation.postprocess.pooling import cls_pooling, mean_pooling
from autoq.evaluation.postprocess.text import ctc_greedy

_MAKERS: Mapping[str, Callable[..., Step]] = {
    "select": select,
    "squeeze": squeeze,
    "softmax": softmax,
    "sigmoid": sigmoid,
    "argmax": argmax,
    "mean_pooling": mean_pooling,
    "cls_pooling": cls_pooling,
    "l2_normalize": l2_normalize,
    "pair_cosine": pair_cosine,
    "ctc_greedy": ctc_greedy,
    "boxes": boxes,
}


def step_names() -> list[str]:
    """Every step by name."""
    return sorted(_MAKERS)


def make_postprocess(steps: Iterable[tuple[str, Mapping[str, Any]]], base: Path = Path()) -> Postprocess:
    """One function that runs the steps in order; without steps, outputs pass as they are.

    Args:
        steps: Name and arguments each; a name may be a user's ``package.module:function``, which is called with the
            outputs (or the result of the step before), the batch, and the arguments as keywords.
        base: Folder that relative paths in arguments start from.

    Raises:
        ConfigError: Unknown step or argument, or arguments that make no sense.
    """
    made = [(name, _make_step(name, arguments, base)) for name, arguments in steps]

    def run(outputs: Outputs, batch: Batch) -> Any:
        value: Any = outputs
        for name, step in made:
            try:
                value = step(value, batch)
            except AutoqError as error:
                if error.where is not None:
                    raise
                raise type(error)(error.message, where=f"postprocess '{name}'", hint=error.hint) from error
            except Exception as error:
                raise EvaluationError(f"{type(error).__name__}: {error}", where=f"postprocess '{name}'") from error
        return value

    return run


def _make_step(name: str, arguments: Mapping[str, Any], base: Path) -> Step:
    if is_function_name(name):
        function = load_function(name)
        return lambda value, batch: function(value, batch, **arguments)
    maker = _MAKERS.get(name)
    if maker is None:
        raise ConfigError(f"unknown postprocess step '{name}'", hint=did_you_mean(name, step_names()))
    known = _arguments(name, maker)
    for argument in arguments:
        if argument not in known:
            raise ConfigError(
                f"postprocess step '{name}' has no argument '{argument}'",
                hint=did_you_mean(argument, known) if known else "it takes none",
            )
    given = dict(arguments)
    if name == "ctc_greedy":
        given["base"] = base
    try:
        return maker(**given)
    except TypeError as error:
        raise ConfigError(
            f"postprocess step '{name}': {error}", hint=f"its arguments are {', '.join(known)}"
        ) from error


def _arguments(name: str, maker: Callable[..., Step]) -> list[str]:
    if name == "boxes":
        return [field.name for field in fields(BoxDecoder)]
    return [parameter for parameter in inspect.signature(maker).parameters if parameter != "base"]
