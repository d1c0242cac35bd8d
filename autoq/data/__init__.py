"""Samples for calibration and evaluation: files, folders, Python callables and iterables, all read the same way."""
