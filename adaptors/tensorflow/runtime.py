"""TensorFlow, imported without what it prints.

Its C++ part writes to standard error before its own switches are read, so the descriptor is put aside for the time of
the import. Everything under this folder takes TensorFlow from here.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings

from autoq.core.quiet import silent_stderr

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
