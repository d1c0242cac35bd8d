"""Streaming statistics and the thresholds derived from them."""
