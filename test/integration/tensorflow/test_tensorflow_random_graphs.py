"""Random graphs, quantized in every way: near the float outputs, all run in 8 bits, the same when loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import check_random_tf
import command

# Some of these ended the process or were far off once: depthwise convolutions with explicit padding (8), a sum that is
# fetched (32), BatchNorm of one channel (81), convolutions whose result is added to what they read (15, 63, 71).
_SEEDS = (8, 15, 32, 63, 71, 81, 89, 104)


def test_random_graphs() -> None:
    """In a process of its own: wrong nodes end it."""
    script = Path(check_random_tf.__file__)
    environment = command.environment() | {"PYTHONPATH": f"{script.parent}"}
    done = subprocess.run(
        [sys.executable, script, *map(str, _SEEDS)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]
