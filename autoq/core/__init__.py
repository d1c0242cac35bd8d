"""The vocabulary every other part of autoq speaks: pure Python, no input or output, no framework."""
