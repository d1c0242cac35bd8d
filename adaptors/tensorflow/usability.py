"""Whether stock TensorFlow can run 8-bit models here; imports nothing of it."""

from __future__ import annotations

import importlib.metadata
import os

from autoq.core.adaptor import Usability
from autoq.core.errors import UnsupportedError

TESTED = "2.21"
"""The version everything was measured with."""

_SWITCH = "TF_ENABLE_ONEDNN_OPTS"
_OFF = f"{_SWITCH}=0 switches oneDNN off, and TensorFlow has no other 8-bit kernels"


def usability() -> Usability:
    """Versions, what is missing, and what else a user should know."""
    found = _version("tensorflow") or _version("tensorflow-cpu")
    notes = []
    if found is not None and not f"{found}.".startswith(f"{TESTED}."):
        notes.append(f"tested with tensorflow {TESTED}, and this is {found}: speed and accuracy may differ")
    if _is_off():
        notes.append(_OFF)
    missing = "" if found is not None else "pip install 'autoq[tensorflow]'"
    return Usability(found is not None and not _is_off(), {"tensorflow": found}, missing, tuple(notes))


def check_onednn() -> None:
    """Raise an error where oneDNN is switched off.

    Raises:
        UnsupportedError: It is.
    """
    if _is_off():
        raise UnsupportedError(_OFF, hint=f"unset {_SWITCH}")


def _is_off() -> bool:
    return os.environ.get(_SWITCH, "").strip().lower() in ("0", "false")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
