"""Functions: ``tf.function``, a concrete function, a module that has one, and what loading a SavedModel gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autoq.adaptors.tensorflow.freeze import FAILURES, SERVING, freeze, reason
from autoq.adaptors.tensorflow.frozen import Frozen
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.adaptor import ModelSource
from autoq.core.errors import ModelError
from autoq.core.suggest import did_you_mean

_HINT = "give it an input_signature, or pass its get_concrete_function(tf.TensorSpec(...))"


def is_function(model: Any) -> bool:
    """Whether an object is a ``tf.function`` or a concrete one."""
    return isinstance(model, (tf.types.experimental.PolymorphicFunction, tf.types.experimental.ConcreteFunction))


def read_function(function: Any, source: ModelSource, origin: str, name: str = SERVING) -> Frozen:
    """Freeze a function.

    Args:
        function: ``tf.function`` or a concrete function.
        source: For the example that says what a function without a signature takes.
        origin: What is read, for messages.
        name: Name of its signature.

    Raises:
        ModelError: It does not say what it takes, or cannot be traced or frozen.
    """
    concrete = function
    if not isinstance(function, tf.types.experimental.ConcreteFunction):
        concrete = _traced(function, source, origin)
    return freeze(concrete, input_names(concrete), output_names(concrete), name, origin)


def read_signatures(signatures: Mapping[str, Any], source: ModelSource, origin: str) -> Frozen:
    """Freeze the signature a job names, ``serving_default``, or the only one.

    Raises:
        ModelError: There is no such signature, or several and none is named.
    """
    chosen, notes = chosen_signature(list(signatures), source.options.get("signature"), origin)
    concrete = signatures[chosen]
    return freeze(concrete, input_names(concrete), output_names(concrete), chosen, origin, notes)


def chosen_signature(names: list[str], asked: str | None, origin: str) -> tuple[str, tuple[str, ...]]:
    """Which of several signatures is meant, and what to tell of it.

    Raises:
        ModelError: There is no such signature, none at all, or several and none is named.
    """
    if asked is not None:
        if asked not in names:
            raise ModelError(f"the model has no signature '{asked}'", where=origin, hint=did_you_mean(asked, names))
        return asked, ()
    if SERVING in names:
        others = [f"'{name}'" for name in names if name not in (SERVING, "serve")]
        note = f"signature '{SERVING}' is used; the model also has {', '.join(others)} (model.signature chooses)"
        return SERVING, (note,) if others else ()
    if len(names) == 1:
        return names[0], ()
    if not names:
        raise ModelError(
            "the model has no signature that says what it takes", where=origin, hint="save it with signatures=..."
        )
    raise ModelError(
        f"the model has several signatures: {', '.join(sorted(names))}", where=origin, hint="choose by model.signature"
    )


def read_module(module: Any, source: ModelSource, origin: str) -> Frozen:
    """Freeze a module's function that says what it takes, chosen as signatures are.

    Raises:
        ModelError: It has none, or several and none is named.
    """
    functions = {
        name: function
        for name in dir(type(module))
        if isinstance(function := getattr(module, name, None), tf.types.experimental.PolymorphicFunction)
    }
    told = {name: function for name, function in functions.items() if function.input_signature is not None} or functions
    if not told:
        raise ModelError(f"{origin} has no tf.function", where=origin, hint=f"decorate its __call__; {_HINT}")
    asked = source.options.get("signature")
    name = "__call__" if asked is None and "__call__" in told else chosen_signature(list(told), asked, origin)[0]
    return read_function(told[name], source, origin, SERVING if name == "__call__" else name)


def input_names(concrete: Any) -> list[str]:
    """Name of each input of a concrete function, in the order of its flat inputs."""
    args, kwargs = concrete.structured_input_signature
    names: list[str] = []
    for argument in args:
        names += [_own_name(spec) or f"input_{len(names) + i}" for i, spec in enumerate(_specs(argument))]
    for key in sorted(kwargs):
        specs = _specs(kwargs[key])
        names += [key] if len(specs) == 1 else [_own_name(spec) or f"{key}_{i}" for i, spec in enumerate(specs)]
    return unique(names)


def output_names(concrete: Any) -> list[str]:
    """Name of each output of a concrete function: its key, or ``output_0`` and so on as TensorFlow calls them."""
    return names_of(concrete.structured_outputs)


def names_of(structure: Any) -> list[str]:
    """Name of each tensor of a model's result: its key where it has one, ``output_`` and its number otherwise."""
    if isinstance(structure, Mapping) and all(len(tf.nest.flatten(value)) == 1 for value in structure.values()):
        return sorted(str(key) for key in structure)
    return [f"output_{i}" for i in range(len(tf.nest.flatten(structure)))]


def unique(names: list[str]) -> list[str]:
    """The same names, repeated ones with a number."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        number = seen[name] = seen.get(name, -1) + 1
        found.append(f"{name}_{number}" if number else name)
    return found


def example_specs(source: ModelSource) -> Any:
    """What a model takes by its data: the same structure of ``tf.TensorSpec``, any batch; None without data."""
    if source.example is None:
        return None
    given = source.example()

    def spec(array: Any, name: str | None = None) -> Any:
        value = np.asarray(array)
        return tf.TensorSpec((None, *value.shape[1:]), value.dtype, name)

    if isinstance(given, Mapping):
        return {name: spec(array, name) for name, array in given.items()}
    return spec(given) if isinstance(given, np.ndarray) else [spec(array) for array in given]


def _specs(structure: Any) -> list[Any]:
    return [s for s in tf.nest.flatten(structure, expand_composites=False) if isinstance(s, tf.TypeSpec)]


def _own_name(spec: Any) -> str | None:
    name = getattr(spec, "name", None)
    return str(name) if name else None


def _traced(function: Any, source: ModelSource, origin: str) -> Any:
    try:
        if function.input_signature is not None:
            return function.get_concrete_function()
        specs = example_specs(source)
        if isinstance(specs, list):
            return function.get_concrete_function(*specs)
        if specs is not None:
            return function.get_concrete_function(specs)
    except FAILURES as error:
        raise ModelError(f"the function cannot be traced: {reason(error)}", where=origin, hint=_HINT) from error
    raise ModelError("the function does not say what it takes", where=origin, hint=_HINT)
