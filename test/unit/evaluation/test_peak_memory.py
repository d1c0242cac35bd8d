import mmap

import numpy as np
import pytest

from autoq.evaluation import memory
from autoq.evaluation.memory import peak_memory

MEGABYTE = 1 << 20


def block_of_64_megabytes():
    """Fresh pages of the system's: an allocator may hand out again what a process has had before."""
    block = np.frombuffer(mmap.mmap(-1, 64 * MEGABYTE), dtype=np.uint8)
    block[:] = 1
    return block


@pytest.mark.parametrize("sampled", [False, True])
def test_a_peak_inside_the_block_is_seen_after_it_is_freed(monkeypatch, sampled):
    if sampled:
        monkeypatch.setattr(memory, "_reset_high_water", lambda: False)
    with peak_memory() as peak:
        block = block_of_64_megabytes()
        for _ in range(20):
            block += 1
        del block
    assert 50 * MEGABYTE < peak.bytes < 120 * MEGABYTE
    assert not (sampled and peak.exact)


def test_memory_held_before_the_block_does_not_count():
    before = block_of_64_megabytes()
    with peak_memory() as peak:
        before.sum()
    assert peak.bytes < 30 * MEGABYTE


def test_the_peak_is_kept_when_the_block_raises():
    def fails():
        raise KeyError(len(block_of_64_megabytes()))

    with pytest.raises(KeyError), peak_memory() as peak:
        fails()
    assert peak.bytes > 50 * MEGABYTE
