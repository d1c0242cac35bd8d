"""Examples of the PyTorch route that works module by module."""
