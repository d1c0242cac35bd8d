"""Full disks, places that may not be written, other processes, missing frameworks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import command
import in_this_process
import pytest
import small_onnx

from autoq.store import artifacts
from autoq.store.repository import Store

AUTOQ = ("tune", "job.yaml")


@pytest.fixture
def disk(tmp_path):
    """Makes a small disk, or a read-only one; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        verb = f"remount,{options}" if mounted else options
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", verb, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def stored(workspace: Path) -> list:
    with Store.open(workspace) as store:
        return store.trials(store.jobs()[0].id)


# What is full first: the empty store, the store before and while trials are written, the folder of results.
@pytest.mark.parametrize("kilobytes", [64, 140, 250, 380])
def test_a_full_disk_loses_nothing_and_the_job_goes_on_when_there_is_space(disk, tmp_path, kilobytes):
    small_onnx.write_job(tmp_path)
    workspace = disk(f"size={kilobytes}k")
    full = command.autoq(*AUTOQ, "--workspace", workspace, cwd=tmp_path)
    command.refused(full, 6, "the disk is full", "free some space")
    disk("size=20m")
    finished = [line for line in full.stdout.splitlines() if line.startswith("trial")]
    before = stored(workspace) if finished else []
    assert len(before) >= len(finished)
    resume = ["--resume"] if (workspace / "jobs").exists() else []
    done = command.autoq(*AUTOQ, "--workspace", workspace, *resume, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored(workspace)[: len(before)] == before


def test_a_report_that_cannot_be_written_fails_as_a_full_disk(place, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(artifacts.os, "fsync", full)
        place.refused(6, "the disk is full", "free some space")
    place.refused(0)


def test_a_read_only_disk(disk, tmp_path):
    small_onnx.write_job(tmp_path)
    workspace = disk("size=1m,ro")
    done = command.autoq(*AUTOQ, "--workspace", workspace, cwd=tmp_path)
    command.refused(done, 6, str(workspace), "--workspace")


def test_a_store_that_became_read_only(disk, tmp_path):
    small_onnx.write_job(tmp_path, tuning__exit_policy={"max_trials": 1})
    workspace = disk("size=5m")
    assert command.autoq(*AUTOQ, "--workspace", workspace, cwd=tmp_path).returncode == 0
    disk("ro")
    done = command.autoq(*AUTOQ, "--workspace", workspace, "--resume", cwd=tmp_path)
    command.refused(done, 6, str(workspace))
    disk("rw")
    assert len(stored(workspace)) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    small_onnx.write_job(tmp_path)
    (tmp_path / "locked").mkdir(mode=0o500)
    done = in_this_process.autoq(*AUTOQ, "--workspace", "locked/workspace", cwd=tmp_path)
    assert done.returncode == 6
    assert "may not be written" in done.stderr


def test_a_workspace_below_a_file(place):
    (place.folder / "file").write_text("a file")
    place.refused(6, "a file stands where a folder is needed", command=(*AUTOQ, "--workspace", "file/workspace"))


def test_a_workspace_that_is_a_file(place):
    (place.folder / "file").write_text("a file")
    place.refused(6, "file", "--workspace", command=(*AUTOQ, "--workspace", "file"))


def test_a_store_that_is_none(place):
    (place.folder / "other").mkdir()
    (place.folder / "other" / "autoq.db").write_text("this is text and no database " * 100)
    place.refused(6, "autoq.db", "not an autoq store", command=(*AUTOQ, "--workspace", "other"))


def test_an_output_that_cannot_be_written(place):
    (place.folder / "file").write_text("a file")
    place.refused(2, "file/job.yaml", "cannot be written", command=("init", "--output", "file/job.yaml"))


def test_a_job_that_another_process_runs(tmp_path):
    small_onnx.write_job(tmp_path, tuning__exit_policy={"max_trials": 400})
    first = command.start(*AUTOQ, cwd=tmp_path)
    try:
        for line in first.stdout:
            if line.startswith("trial   2"):
                break
        second = command.autoq(*AUTOQ, "--resume", cwd=tmp_path)
        command.refused(second, 6, f"is being run by process {first.pid}", "stop that process")
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert len(stored(tmp_path / "workspace")) >= 3


def test_a_framework_that_is_not_installed_names_the_command(tmp_path):
    small_onnx.write_job(tmp_path)
    hidden = "import sys; sys.modules['onnxruntime'] = None; from autoq.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", hidden, *AUTOQ, "--in-process"],
        cwd=tmp_path, env=command.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    command.refused(done, 7, "needs the package 'onnxruntime'", "pip install 'autoq[onnxrt]'")


def test_a_parquet_file_without_its_package_names_the_command(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (place.folder / "digits.parquet").write_bytes(b"PAR1")
    place.write_job(
        evaluation__accuracy__dataloader__dataset={"parquet": {"path": "digits.parquet", "inputs": ["image"]}}
    )
    place.refused(7, "pyarrow", "pip install")
