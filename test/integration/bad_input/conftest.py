"""A job that ran well once: what is wrong afterwards must be said, and must not touch what was found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import in_this_process
import numpy as np
import onnx
import pytest
import small_onnx
import yaml

from autoq.core.trial import Trial
from autoq.store.repository import Store


@dataclass(frozen=True)
class Place:
    """A folder with a job, and the trials that were finished there before."""

    folder: Path
    before: tuple[Trial, ...]

    @property
    def model(self) -> Path:
        return self.folder / "digits.onnx"

    def change_model(self, change: Callable[[onnx.ModelProto], object]) -> None:
        model = onnx.load(self.model)
        change(model)
        self.model.write_bytes(model.SerializeToString())

    def change_data(self, name: str, **arrays: object) -> None:
        """Replace arrays of an npz; a function gets the archive, None removes."""
        with np.load(self.folder / name) as archive:
            kept = dict(archive)
        kept |= {key: value(kept) if callable(value) else value for key, value in arrays.items()}
        np.savez(self.folder / name, **{key: value for key, value in kept.items() if value is not None})

    def write_job(self, **changes: object) -> None:
        (self.folder / "job.yaml").write_text(yaml.safe_dump(small_onnx.job_data(**changes)))

    def refused(self, exit_code: int, *parts: str, command: tuple[str, ...] = ("tune", "job.yaml", "--in-process")):
        """Run a command: it must end with this code, say these things, show no traceback and lose nothing."""
        done = in_this_process.autoq(*command, cwd=self.folder)
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert done.returncode == exit_code, said
        assert [part for part in parts if part not in done.stderr] == [], done.stderr
        assert self.stored() == self.before
        return done

    def stored(self) -> tuple[Trial, ...]:
        with Store.open(self.folder / "workspace") as store:
            return tuple(store.trials(store.jobs()[0].id))


@pytest.fixture(scope="session")
def finished_job(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    small_onnx.write_job(folder, tuning__exit_policy={"max_trials": 1})
    done = in_this_process.autoq("tune", "job.yaml", "--in-process", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(finished_job, tmp_path) -> Place:
    folder = tmp_path / "place"
    shutil.copytree(finished_job, folder)
    found = Place(folder, ())
    found = Place(folder, found.stored())
    assert len(found.before) == 3  # fp32, the fully quantized plan, and the same scored in full
    return found
