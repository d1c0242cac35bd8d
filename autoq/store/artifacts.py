"""Files of a job: where they lie, and writing them whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoq.store.failures import telling


@dataclass(frozen=True)
class JobFolder:
    """Where a job's files lie.

    Attributes:
        workspace: The folder of the store.
        job_id: The job's id.
    """

    workspace: Path
    job_id: str

    @property
    def folder(self) -> Path:
        """Everything of this job."""
        return self.workspace / "jobs" / self.job_id

    @property
    def report_html(self) -> Path:
        """The report as a page."""
        return self.folder / "report.html"

    @property
    def report_json(self) -> Path:
        """The report as data."""
        return self.folder / "report.json"

    @property
    def plan(self) -> Path:
        """The chosen plan."""
        return self.folder / "plan.yaml"

    @property
    def model(self) -> Path:
        """The chosen model."""
        return self.folder / "model"

    @property
    def attempt(self) -> Path:
        """Where nothing was accepted, the model that came nearest."""
        return self.folder / "attempt"

    @property
    def bundle(self) -> Path:
        """All that a replay needs."""
        return self.folder / "bundle"

    @property
    def child_log(self) -> Path:
        """What the child process printed."""
        return self.folder / "child.log"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the job."""
        return self.folder / "lock"


def write_text_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all.

    Raises:
        StoreError: The disk is full or not writable.
    """
    write_bytes_atomic(path, text.encode())


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Left-overs of killed processes are removed.

    Raises:
        StoreError: The disk is full or not writable.
    """
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        scratch = _scratch(path)
        try:
            with scratch.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
            _sync(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` to write into; it takes the target's place when the block ends well.

    What was there before stays untouched when the block fails. Left-overs of killed processes are removed.

    Raises:
        StoreError: The disk is full or not writable.
    """
    with telling(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        scratch = _scratch(target)
        scratch.mkdir()
        try:
            yield scratch
            for path in (*scratch.rglob("*"), scratch):
                _sync(path)
            _put_in_place(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(scratch: Path, target: Path) -> None:
    before = _scratch(target)
    if target.exists():
        target.rename(before)
    try:
        scratch.rename(target)
    except OSError:
        if before.exists():
            before.rename(target)
        raise
    _sync(target.parent)
    if before.exists():
        shutil.rmtree(before)


def _scratch(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")


def _remove_leftovers(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.[0-9a-f]{{8}}\.part")
    for path in target.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if not match or _alive(int(match[1])):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is somebody else's
    return True


def _sync(path: Path) -> None:
    """Make what was written to a file or folder survive a power loss."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
