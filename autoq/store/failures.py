"""What the database or the file system said, told as a `StoreError`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from autoq.core.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)

_FREE_SPACE = "free some space, then go on with `autoq tune --resume`: everything written so far is kept"
_OTHER_WORKSPACE = "choose a folder you may write to, as tuning.workspace in the job or with --workspace"

_SAID = (
    ("disk is full", "the disk is full", _FREE_SPACE),
    ("disk i/o error", "the disk cannot be read or written", "check the disk, and whether it is full"),
    ("readonly database", "the store may not be written", _OTHER_WORKSPACE),
    ("unable to open database", "the store cannot be opened", _OTHER_WORKSPACE),
    ("not a database", "this file is not an autoq store", "move it away, or choose another workspace"),
    ("malformed", "the store is damaged", "move it away and run again; what was saved in job folders is not affected"),
    ("database is locked", "another process has been writing to the store for too long", "try again when it is done"),
)


def of_os_error(error: OSError, where: Path) -> StoreError:
    """A `StoreError` for a failed file operation."""
    if error.errno in _FULL:
        return StoreError("the disk is full", where=str(where), hint=_FREE_SPACE)
    if error.errno in _DENIED:
        return StoreError("this place may not be written", where=str(where), hint=_OTHER_WORKSPACE)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return StoreError("a file stands where a folder is needed", where=str(where), hint=_OTHER_WORKSPACE)
    return StoreError(error.strerror or str(error), where=str(where), hint=_OTHER_WORKSPACE)


def of_database_error(error: SQLAlchemyError, where: str) -> StoreError:
    """A `StoreError` for what the database refused to do."""
    said = str(getattr(error, "orig", None) or error)
    for fragment, message, hint in _SAID:
        if fragment in said.lower():
            return StoreError(f"{message} ({said})", where=where, hint=hint)
    return StoreError(f"the store did not answer: {said}", where=where)


@contextmanager
def telling(where: Path) -> Iterator[None]:
    """Turn any `OSError` of the block into a `StoreError` about `where`."""
    try:
        yield
    except OSError as error:
        raise of_os_error(error, where) from error
