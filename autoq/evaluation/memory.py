"""Peak memory of a block of code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_PERIOD = 0.002


@dataclass
class Peak:
    """Filled when the block ends.

    Attributes:
        bytes: Largest resident memory of the process inside the block, above that at its start.
        exact: True when the kernel kept the peak; False when it was sampled and short peaks may be missed.
    """

    bytes: int = 0
    exact: bool = False


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the resident memory that a block adds at most.

    Uses the kernel's high-water mark where it can be reset (Linux), else samples every 2 ms from a thread.
    """
    peak = Peak()
    start = psutil.Process().memory_info().rss
    if _reset_high_water():
        peak.exact = True
        try:
            yield peak
        finally:
            peak.bytes = max(0, _high_water() - start)
        return
    done = threading.Event()
    largest = [start]
    sampler = threading.Thread(target=_sample, args=(done, largest), daemon=True)
    sampler.start()
    try:
        yield peak
    finally:
        done.set()
        sampler.join()
        peak.bytes = max(0, largest[0] - start)


def _reset_high_water() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK)
        return _high_water() > 0
    except OSError:
        # Not Linux, or a sandbox without write access: sampling takes over.
        return False


def _high_water() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def _sample(done: threading.Event, largest: list[int]) -> None:
    process = psutil.Process()
    while True:
        largest[0] = max(largest[0], process.memory_info().rss)
        if done.wait(_PERIOD):
            return
