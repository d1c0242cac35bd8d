"""The deployment gate: the tuned model as an ONNX file, scored again in the runtimes it is meant for."""
