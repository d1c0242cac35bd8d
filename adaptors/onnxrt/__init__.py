"""ONNX Runtime: static QDQ, static QOperator, dynamic."""
