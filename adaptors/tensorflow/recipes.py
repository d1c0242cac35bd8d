"""Recipes of this adaptor: rewrites of the whole graph."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

from autoq.core.capability import Recipe

BF16 = Recipe("bf16")
"""Convolutions and products in bfloat16 wherever grappler finds it safe."""

_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@cache
def has_bf16() -> bool:
    """Whether the processor computes in bfloat16; oneDNN would emulate it, slower than float32."""
    if platform.system() != "Linux":
        return False
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _FLAGS.isdisjoint(flags.split())
