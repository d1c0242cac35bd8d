"""Examples on ONNX Runtime."""
