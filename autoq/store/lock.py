"""Advisory locks between processes, released by the system even when a process is killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoq.store.failures import telling


class LockedError(Exception):
    """Somebody else holds the lock.

    Attributes:
        holder: The process id written in the lock file, or an empty text.
    """

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


@contextmanager
def file_lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold an exclusive lock on `path`, which is made if needed and holds the process id.

    Raises:
        LockedError: Another process holds it and `wait` is False.
        StoreError: The file cannot be written.
    """
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedError(os.pread(descriptor, 32, 0).decode(errors="replace").strip()) from None
        with telling(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
