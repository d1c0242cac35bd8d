"""A user's function that returns data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoq.config.schema import PythonDataset
from autoq.core.errors import DataError
from autoq.core.function import load_function
from autoq.data.items import in_users_terms


def python_data(spec: PythonDataset, base: Path) -> Callable[[], Any]:
    """A call that gives the data anew each time.

    Raises:
        ConfigError: The function cannot be imported.
        DataError: The folder does not exist.
    """
    if spec.path is not None:
        folder = (base / Path(spec.path).expanduser()).resolve()
        if not folder.is_dir():
            raise DataError(f"no such folder: '{folder}'", where=spec.function)
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    function = load_function(spec.function)

    def make() -> Any:
        with in_users_terms(spec.function):
            data = function(**spec.arguments)
        if data is None:
            raise DataError("the function returned None", where=spec.function, hint="return or yield the samples")
        return data

    return make
