"""Another library's log records kept from a user who did not ask for them, while we call it."""

from __future__ import annotations

import logging
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
