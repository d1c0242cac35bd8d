import errno
import os

import pytest

from autoq.core.errors import StoreError
from autoq.store.artifacts import JobFolder, atomic_folder, write_bytes_atomic, write_text_atomic


def test_text_is_written_as_utf8_and_leaves_nothing_beside_it(tmp_path):
    write_text_atomic(tmp_path / "deep" / "a.txt", "größer\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "größer\n".encode()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.txt"]


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_bytes_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StoreError, match="disk is full"):
        write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "model"
    for name in ("first", "second"):
        with atomic_folder(target) as scratch:
            (scratch / "sub").mkdir()
            (scratch / "sub" / name).write_text(name)
    assert [p.name for p in target.rglob("*")] == ["sub", "second"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as scratch:
        (scratch / "old").touch()
    with pytest.raises(StoreError), atomic_folder(target) as scratch:
        scratch.mkdir(exist_ok=False)
    assert [p.name for p in target.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_while_writing_a_folder_is_told(tmp_path):
    with pytest.raises(StoreError, match="disk is full"), atomic_folder(tmp_path / "model"):
        full_disk()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_dead_processes_are_removed_and_those_of_living_ones_kept(tmp_path):
    dead, living = tmp_path / ".model.4194305.00000000.part", tmp_path / f".model.{os.getppid()}.00000000.part"
    dead.mkdir()
    living.mkdir()
    with atomic_folder(tmp_path / "model"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([living.name, "model"])


def test_a_file_where_a_folder_is_needed_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        write_text_atomic(tmp_path / "file" / "report.html", "x")


def test_everything_of_a_job_lies_in_its_folder(tmp_path):
    job = JobFolder(tmp_path, "20260101-120000-ab12")
    for path in (job.report_html, job.report_json, job.plan, job.model, job.attempt, job.bundle, job.child_log):
        assert path.parent == job.folder


def test_the_half_written_file_of_a_dead_process_is_removed(tmp_path):
    (tmp_path / ".report.html.4194305.00000000.part").write_text("half")
    write_text_atomic(tmp_path / "report.html", "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
