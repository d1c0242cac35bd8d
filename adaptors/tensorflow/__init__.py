"""Stock TensorFlow on oneDNN's 8-bit kernels."""
