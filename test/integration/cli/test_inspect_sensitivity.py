"""`autoq inspect JOB --sensitivity` on a real job and on toys."""

from __future__ import annotations

import json

import command
import pytest
import small_onnx
import toy_job

from autoq.config.json_schema import job_to_yaml
from autoq.core.inquiry import Need
from autoq.run import sense_job


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("sensitivity")
    small_onnx.write_job(made)
    return made


def test_every_op_is_measured_printed_and_drawn(folder):
    shown = command.autoq("inspect", "job.yaml", "--sensitivity", "--html", "effects.html", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert all(op in shown.stdout for op in ("conv1", "conv2", "fc", "along the network:", "chart: effects.html"))
    assert "<svg" in (folder / "effects.html").read_text()


def test_data_for_scripts_is_sorted_worst_first(folder):
    shown = command.autoq("inspect", "job.yaml", "--sensitivity", "--json", cwd=folder)
    ops = json.loads(shown.stdout)["ops"]
    assert {o["op"] for o in ops} == {"conv1", "conv2", "fc"}
    assert [o["value"] for o in ops] == sorted((o["value"] for o in ops), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["digits.onnx", "--sensitivity"], 2, "only a job names"),
        (["job.yaml", "--html", "x.html"], 2, "add --sensitivity"),
        (["job.yaml", "--sensitivity", "--html", "nowhere/x.html"], 2, "does not exist"),
        (["job.yaml", "--sensitivity", "--need", "curvature"], 10, "does not measure curvature"),
        (["job.yaml", "--sensitivity", "--op", "conv9"], 2, "conv2"),
    ],
)
def test_mistakes_say_what_to_do(folder, arguments, code, message):
    command.refused(command.autoq("inspect", *arguments, cwd=folder), code, message)


def test_what_was_measured_is_not_measured_again(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain())
    first = sense_job(job, Need.SENSITIVITY, 60, lambda _: None)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "workspace" / "cache").glob("sensed-*")}
    again = sense_job(job, Need.SENSITIVITY, 60, lambda _: None)
    assert len(kept) == 1
    assert first.findings == again.findings
    assert first.findings.values == again.findings.values
    assert kept == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "workspace" / "cache").glob("sensed-*")}


def test_the_noisiest_op_of_a_toy_is_the_most_sensitive(tmp_path):
    found = sense_job(toy_job.write_job(tmp_path, toy_job.toy_chain()), Need.SENSITIVITY, 60, lambda _: None)
    assert max(found.findings.values, key=found.findings.values.get) == "op0"


def test_a_job_in_a_child_process_is_measured_there(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain(), runner={"kind": "subprocess"})
    (tmp_path / "job.yaml").write_text(job_to_yaml(job))
    shown = command.autoq("inspect", "job.yaml", "--sensitivity", "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert len(json.loads(shown.stdout)["ops"]) == 8
