"""Amounts of memory as people write them: ``4GB``, ``512MiB``, or a number of bytes."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_FACTORS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_size(value: str | int) -> int:
    """Bytes. ``kB, MB, GB, TB`` are powers of 1000, ``KiB, MiB, GiB, TiB`` powers of 1024.

    Raises:
        ValueError: Not a size, or less than one byte.
    """
    if isinstance(value, int):
        size: float = value
    else:
        match = _SIZE.fullmatch(value[:64])
        if match is None or match[2].lower() not in _FACTORS:
            raise ValueError(f"'{value[:64]}' is not an amount of memory: write bytes, or a unit such as 4GB or 512MiB")
        size = float(match[1]) * _FACTORS[match[2].lower()]
    if not 1 <= size < 2**63:
        raise ValueError("an amount of memory must be at least one byte and below 8 EiB")
    return math.floor(size)


def format_size(size: int) -> str:
    """The shortest decimal text, e.g. ``4.0 GB``."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _parse_text(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


Bytes = Annotated[int, Field(ge=1, lt=2**63), BeforeValidator(_parse_text, json_schema_input_type=str | int)]
"""A number of bytes; a job may also write it with a unit."""
