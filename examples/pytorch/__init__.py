"""Examples on PyTorch."""
