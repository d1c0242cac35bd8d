"""The `autoq` command, also as `python -m autoq`: Ctrl-C ends it quietly from its first moment on."""

from __future__ import annotations

import sys


def run() -> None:
    """Entry point. What takes time to import is imported inside, where an interrupt is caught."""
    try:
        from autoq.cli.main import run as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
