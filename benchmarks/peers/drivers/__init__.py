"""One script per tool, run by the interpreter of that tool's environment: Python 3.10 or newer, without autoq."""
