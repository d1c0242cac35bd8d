"""Running the real `autoq` command as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

AUTOQ = (sys.executable, "-m", "autoq")
REPOSITORY = Path(__file__).parents[2]


def environment(**extra: str) -> dict[str, str]:
    """The tests' environment, with the package importable from any folder and lines that do not wrap."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **extra}


def autoq(*arguments: str | Path, cwd: Path, timeout: float = 120, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*AUTOQ, *map(str, arguments)],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start(*arguments: str | Path, cwd: Path, **extra: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [*AUTOQ, *map(str, arguments)],
        cwd=cwd,
        env=environment(PYTHONUNBUFFERED="1", **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def refused(done: subprocess.CompletedProcess[str], exit_code: int, *parts: str) -> None:
    """Assert that a command ended with this code and told the user these things, without a traceback."""
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert done.returncode == exit_code, said
    for part in parts:
        assert part in done.stderr, said
