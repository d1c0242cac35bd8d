"""PyTorch through FX graph mode quantization: the whole graph, functionals included."""
