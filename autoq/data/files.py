"""Files that data come from: do they exist, and what is their content address."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from autoq.core.digest import digest_of
from autoq.core.errors import DataError
from autoq.core.suggest import nearest

_WHOLE = 256 << 20
_PIECE = 16 << 20


def existing_file(path: Path) -> Path:
    """The path itself.

    Raises:
        DataError: There is no such file, with the nearest names in its folder.
    """
    if path.is_file():
        return path
    if path.is_dir():
        raise DataError(f"'{path}' is a folder, a file is needed")
    if not path.parent.is_dir():
        raise DataError(f"no such file: '{path}'", hint=f"the folder '{path.parent}' does not exist either")
    close = nearest(path.name, (p.name for p in path.parent.iterdir()))
    raise DataError(
        f"no such file: '{path}'",
        hint=f"the folder holds {', '.join(close)}" if close else "paths start from the job file's folder",
    )


def fingerprint_files(paths: Sequence[Path]) -> str:
    """Content address of files by name, size and content.

    Beyond 256 MB in one file only its first and last 16 MB and its modification time are read.
    """
    return digest_of([[path.name, path.stat().st_size, _hash(path)] for path in paths])


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    status = path.stat()
    with path.open("rb") as file:
        if status.st_size <= _WHOLE:
            while piece := file.read(_PIECE):
                digest.update(piece)
        else:
            digest.update(file.read(_PIECE))
            file.seek(-_PIECE, 2)
            digest.update(file.read(_PIECE))
            digest.update(str(status.st_mtime_ns).encode())
    return digest.hexdigest()
