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

_OWN_THREADS = "TF_OVERRIDE_GLOBAL_THREADPOOL"
_ASKED_BEFORE = os.environ.get(_OWN_THREADS) == "1"
# Read once, when the process makes its first device: every session gets as many threads as it asks for. Without it the
# first one decides for all.
os.environ.setdefault(_OWN_THREADS, "1")

if "tensorflow" in sys.modules:
    import tensorflow as tf
else:
    with silent_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

    logging.getLogger("tensorflow").setLevel(logging.ERROR)

from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402
from tensorflow.python.eager import context as _context  # noqa: E402
from tensorflow.python.framework import op_def_registry  # noqa: E402
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402

SETTABLE_THREADS = os.environ[_OWN_THREADS] == "1" and (
    _ASKED_BEFORE or not getattr(_context.context(), "_initialized", False)
)
"""Whether sessions have threads of their own number; False where TensorFlow ran before this module was imported."""

SavedModel = saved_model_pb2.SavedModel
"""The file of a SavedModel."""

__all__ = [
    "SETTABLE_THREADS",
    "SavedModel",
    "convert_variables_to_constants_v2",
    "op_def_registry",
    "silent_stderr",
    "tf",
]
