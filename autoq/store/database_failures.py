"""What the database said, told as a `StoreError`."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from autoq.core.errors import StoreError
from autoq.store.failures import FREE_SPACE, OTHER_WORKSPACE

_SAID = (
    ("disk is full", "the disk is full", FREE_SPACE),
    ("disk i/o error", "the disk cannot be read or written", "check the disk, and whether it is full"),
    ("readonly database", "the store may not be written", OTHER_WORKSPACE),
    ("unable to open database", "the store cannot be opened", OTHER_WORKSPACE),
    ("not a database", "this file is not an autoq store", "move it away, or choose another workspace"),
    ("malformed", "the store is damaged", "move it away and run again; what was saved in job folders is not affected"),
    ("database is locked", "another process has been writing to the store for too long", "try again when it is done"),
)


def of_database_error(error: SQLAlchemyError, where: str) -> StoreError:
    """A `StoreError` for what the database refused to do."""
    said = str(getattr(error, "orig", None) or error)
    for fragment, message, hint in _SAID:
        if fragment in said.lower():
            return StoreError(f"{message} ({said})", where=where, hint=hint)
    return StoreError(f"the store did not answer: {said}", where=where)
