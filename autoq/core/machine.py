"""This machine: what tells it from others, and where what was found out about it is kept."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from autoq.core.digest import digest_of


def machine_digest() -> str:
    """Content address of the processor: what was measured on one holds on its equals."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    keep = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "flags"))][:2]
    return digest_of([platform.machine(), platform.system(), *(keep or [platform.processor()])])


def cache_folder() -> Path:
    """The user's folder for what can be made again, ``$XDG_CACHE_HOME/autoq``; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoq"
