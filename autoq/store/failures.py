"""What the file system said, told as a `StoreError`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoq.core.errors import StoreError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)

FREE_SPACE = "free some space, then go on with `autoq tune --resume`: everything written so far is kept"
OTHER_WORKSPACE = "choose a folder you may write to, as tuning.workspace in the job or with --workspace"


def of_os_error(error: OSError, where: Path) -> StoreError:
    """A `StoreError` for a failed file operation."""
    if error.errno in DISK_FULL:
        return StoreError("the disk is full", where=str(where), hint=FREE_SPACE)
    if error.errno in _DENIED:
        return StoreError("this place may not be written", where=str(where), hint=OTHER_WORKSPACE)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return StoreError("a file stands where a folder is needed", where=str(where), hint=OTHER_WORKSPACE)
    return StoreError(error.strerror or str(error), where=str(where), hint=OTHER_WORKSPACE)


@contextmanager
def telling(where: Path) -> Iterator[None]:
    """Turn any `OSError` of the block into a `StoreError` about `where`."""
    try:
        yield
    except OSError as error:
        raise of_os_error(error, where) from error
