"""autoq: the fastest model that keeps your accuracy promise on your machine, with the proof.

The names below are loaded when they are first used, so that importing autoq is quick and imports no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoq.api import fit as fit
    from autoq.config.schema import Job as Job
    from autoq.core.errors import AutoqError as AutoqError
    from autoq.result import Result as Result
    from autoq.result import load as load

__all__ = ["AutoqError", "Job", "Result", "fit", "load"]

_HOMES = {
    "AutoqError": "autoq.core.errors",
    "Job": "autoq.config.schema",
    "Result": "autoq.result",
    "fit": "autoq.api",
    "load": "autoq.result",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autoq' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
