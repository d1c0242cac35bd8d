"""What another library logs or prints, kept from a user who did not ask for it, while we call it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Drop what this thread logs to these loggers below a warning.

    Levels, handlers and what other threads log stay as they are.
    """
    here = threading.get_ident()

    def passes(record: logging.LogRecord) -> bool:
        return record.thread != here or record.levelno >= logging.WARNING

    found = [logging.getLogger(name) for name in loggers]
    for logger in found:
        logger.addFilter(passes)
    try:
        yield
    finally:
        for logger in found:
            logger.removeFilter(passes)


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Keep what native code of this process writes to standard error from the user; shown when the body raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as aside:
            os.dup2(aside.fileno(), 2)
            try:
                yield
            except BaseException:
                os.dup2(kept, 2)
                aside.seek(0)
                os.write(2, aside.read())
                raise
            finally:
                os.dup2(kept, 2)
    finally:
        os.close(kept)
