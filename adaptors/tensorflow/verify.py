"""Which 8-bit kernel forms work on this machine, found out once per version of TensorFlow in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from autoq.adaptors.tensorflow.forms import Form, all_forms
from autoq.adaptors.tensorflow.runtime import tf
from autoq.core.digest import digest_of
from autoq.core.errors import TrialError
from autoq.core.machine import cache_folder, machine_digest

LARGEST_ERROR = 0.05
"""Relative error above which a form is taken to be wrong; forms that work make .005 to .025."""

_MODULE = "autoq.adaptors.tensorflow.verify_child"

# They change which kernels oneDNN chooses.
_SWITCHES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS")

# The modules that decide how a kernel's node is written.
_WRITERS = ("emit.py", "forms.py", "verify_child.py")

_known: dict[Path, Mapping[Form, str]] = {}


def refused(progress: Callable[[str], None] = lambda _: None) -> Mapping[Form, str]:
    """Forms that do not work here, and why; all of them are run when this machine was not seen before.

    Args:
        progress: Told the form that is about to run.

    Raises:
        TrialError: No kernel could be run at all.
    """
    path = cache_file()
    if path not in _known:
        found = _read(path)
        if found is None:
            found = _run_all(progress)
            # Where nothing can be kept, they are run once per process.
            with suppress(OSError):
                _write(path, found)
        _known[path] = {form: found[form.label] for form in all_forms() if found[form.label]}
    return _known[path]


@cache
def _revision(switches: tuple[str, ...]) -> str:
    # Other nodes than those that were tried may behave otherwise.
    written = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in _WRITERS]
    return digest_of([list(switches), written])


def cache_file() -> Path:
    """Where the findings for this machine and version are kept."""
    revision = _revision(tuple(os.environ.get(name, "") for name in _SWITCHES))
    return cache_folder() / "kernels" / f"tensorflow-{tf.__version__}-{machine_digest()}-{revision}.json"


def _run_all(progress: Callable[[str], None]) -> dict[str, str]:
    """Reason by label of a form, empty where it works.

    A child that dies is started again behind the form it died of.
    """
    forms, found = all_forms(), dict[str, str]()
    while len(found) < len(forms):
        start = len(found)
        command = [sys.executable, "-m", _MODULE, str(start)]
        # The child finds what this process finds, also where autoq is not installed.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            progress(forms[start].label)
            for line in child.stdout:
                number, answer = json.loads(line)
                found[forms[number].label] = _reason(answer)
                if number + 1 < len(forms):
                    progress(forms[number + 1].label)
        if len(found) < len(forms):
            if start == len(found) == 0 and child.returncode > 0:
                raise TrialError(
                    f"TensorFlow's 8-bit kernels cannot be tried: the process that runs them ends with code "
                    f"{child.returncode}",
                    hint=f"see what it prints: {' '.join(command)}",
                )
            found[forms[len(found)].label] = f"it ends the process (code {child.returncode})"
    return found


def _reason(answer: float | str) -> str:
    if isinstance(answer, str):
        return answer
    # Not a number is not small enough either.
    return "" if answer <= LARGEST_ERROR else f"its result is wrong (relative error {answer:.2g})"


def _read(path: Path) -> dict[str, str] | None:
    """What was found before; None when nothing was, or not for all forms."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or any(not isinstance(found.get(form.label), str) for form in all_forms()):
        return None
    return found


def _write(path: Path, found: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    Path(file.name).replace(path)
