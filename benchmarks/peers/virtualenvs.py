"""One virtual environment per tool, made from a pinned list of requirements, kept as long as the list is the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.problem import PeerError

REPOSITORY = Path(__file__).resolve().parents[2]
_REQUIREMENTS = Path(__file__).parent / "environments"
_READY = ".ready"


@dataclass(frozen=True)
class Environment:
    """Where a tool runs.

    Attributes:
        name: Name of its list of requirements; empty for the environment this program runs in.
        python: Version of Python it needs, e.g. ``3.10``; any by default.
        variable: Environment variable that names such an interpreter.
    """

    name: str
    python: str = ""
    variable: str = ""

    @property
    def folder(self) -> Path:
        """Where it is made; its name changes with the requirements."""
        requirements = (_REQUIREMENTS / f"{self.name}.txt").read_bytes()
        digest = hashlib.sha256(requirements + self.python.encode()).hexdigest()[:12]
        return REPOSITORY / ".cache" / "autoq-peers" / f"{self.name}-{digest}"

    def interpreter(self) -> Path:
        """Its Python; the environment is made now unless it is there.

        Raises:
            PeerError: There is no suitable Python, or pip failed.
        """
        if not self.name:
            return Path(sys.executable)
        python = self.folder / "bin" / "python"
        if not (self.folder / _READY).exists():
            self._make(python)
        return python

    def _make(self, python: Path) -> None:
        print(f"[peers] making the environment of {self.name}: {self.folder}", file=sys.stderr, flush=True)
        # Half an environment is of no use, and pip cannot repair every one.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        _run([self._base(), "-m", "venv", str(self.folder)], f"{self.name}: no virtual environment could be made")
        requirements = str(_REQUIREMENTS / f"{self.name}.txt")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "--requirement", requirements], f"pip could not install {requirements}")
        (self.folder / _READY).touch()

    def _base(self) -> str:
        if not self.python:
            return sys.executable
        found = os.environ.get(self.variable) or shutil.which(f"python{self.python}")
        if not found:
            raise PeerError(
                f"the environment of {self.name} needs Python {self.python}: install it, or set {self.variable} "
                "to its interpreter"
            )
        return found


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError("\n  ".join([failure, *done.stderr.strip().splitlines()[-5:]]))
