"""Rewriting a frozen graph so that each layer is one operator, its constants known, its BatchNorm in its weights."""

from autoq.adaptors.tensorflow.passes.fold import fold

__all__ = ["fold"]
