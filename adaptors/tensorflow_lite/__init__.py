"""LiteRT: ``.tflite`` models quantized op by op."""
