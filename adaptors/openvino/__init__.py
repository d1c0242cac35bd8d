"""The OpenVINO backend: ONNX models on OpenVINO's CPU runtime."""
