"""Examples on TensorFlow and LiteRT."""

# First of all: TensorFlow comes without its log lines, and Keras takes it from there.
from autoq.adaptors.tensorflow import runtime as _runtime  # noqa: F401
