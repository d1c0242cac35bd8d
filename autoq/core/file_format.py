"""Kinds of files that tuned models are exported as."""

from __future__ import annotations

from enum import StrEnum


class FileFormat(StrEnum):
    """What an exported model is written as; the value is also the suffix of its file."""

    ONNX = "onnx"
    TFLITE = "tflite"

    @property
    def label(self) -> str:
        """Its name for readers."""
        return {FileFormat.ONNX: "ONNX", FileFormat.TFLITE: "LiteRT"}[self]
