"""autoq: the fastest model that keeps your accuracy promise on your machine, with the proof.

The names below are loaded when they are first used, so that importing autoq is quick and imports no framework.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

# TensorFlow reads these once, while it starts, which in a script of yours is before autoq first uses it: each session
# gets the number of threads it asks for, and log lines stay away. Who has set them keeps them.
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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
