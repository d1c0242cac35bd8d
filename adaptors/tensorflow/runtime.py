"""TensorFlow, imported without what it prints.

Its C++ part writes to standard error before its own switches are read, so the descriptor is put aside for the time of
the import. Everything under this folder takes TensorFlow from here.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


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


# The most severe messages only; a user who set the switch keeps it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "tensorflow" in sys.modules:
    import tensorflow as tf
else:
    with silent_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

    logging.getLogger("tensorflow").setLevel(logging.ERROR)

__all__ = ["silent_stderr", "tf"]
