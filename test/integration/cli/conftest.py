"""One tuned job that the commands are tried on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import command
import pytest
import small_onnx


@dataclass(frozen=True)
class Tuned:
    """A folder with a job that was run, the folder of its results, and what the run printed."""

    folder: Path
    results: Path
    run: CompletedProcess[str]


@pytest.fixture(scope="session")
def tuned(tmp_path_factory) -> Tuned:
    folder = tmp_path_factory.mktemp("digits")
    small_onnx.write_job(folder)
    run = command.autoq("tune", "job.yaml", cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    (results,) = (folder / "workspace" / "jobs").iterdir()
    return Tuned(folder, results, run)
