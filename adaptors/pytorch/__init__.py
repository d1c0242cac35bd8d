"""What the PyTorch adaptors share: models, inputs and outputs, compilation, artifacts."""
