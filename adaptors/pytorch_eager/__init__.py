"""PyTorch eager quantization: each quantizable module in a wrapper of its own."""
