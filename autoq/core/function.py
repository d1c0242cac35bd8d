"""A user's function, named as ``package.module:function``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoq.core.errors import ConfigError
from autoq.core.suggest import did_you_mean


def is_function_name(name: str) -> bool:
    """Whether a name means a user's function rather than one of ours."""
    return ":" in name


def qualified_name(function: object) -> str:
    """``module.name`` of a function, or of the class of a callable object."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def import_from(*folders: Path) -> None:
    """Put folders in front of the import path, the first one foremost."""
    for folder in reversed(folders):
        name = str(folder.resolve())
        if name not in sys.path:
            sys.path.insert(0, name)


def load_function(name: str) -> Callable[..., Any]:
    """Import ``package.module:function``.

    Raises:
        ConfigError: The module cannot be imported, or holds no callable of that name.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"'{name}' does not name a function", hint="write it as package.module:function")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            f"cannot import module '{module_name}': {type(error).__name__}: {error}",
            where=name,
            hint="it must be installed, or lie beside the job file, in the current folder or in one of PYTHONPATH",
        ) from error
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            public = [n for n in vars(module) if not n.startswith("_") and callable(getattr(module, n))]
            raise ConfigError(
                f"module '{module_name}' has no '{attribute}'", where=name, hint=did_you_mean(attribute, public)
            )
        value = getattr(value, part)
    if not callable(value):
        raise ConfigError(f"'{name}' is not callable but of type {type(value).__name__}", where=name)
    return value  # type: ignore[no-any-return]
