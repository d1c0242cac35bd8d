"""Scores, intervals, latency, size and memory of a candidate."""
