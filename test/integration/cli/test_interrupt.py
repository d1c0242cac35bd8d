"""Ctrl-C, sent to the whole process group as a terminal does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import command
import psutil
import small_onnx
import toy_job

from autoq.config.json_schema import job_to_yaml
from autoq.store.repository import Store

ENOUGH = 400
"""Trials no test waits for."""


def read_until(process, start_of_line: str) -> str:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start_of_line):
            return "".join(lines)
    raise AssertionError("".join(lines))


def interrupt(process) -> None:
    os.killpg(process.pid, signal.SIGINT)


def end(process) -> tuple[int, str]:
    rest = process.stdout.read()
    process.stdout.close()
    assert "Traceback" not in rest
    return process.wait(60), rest


def trials(folder) -> list:
    with Store.open(folder / "workspace") as store:
        return store.trials(store.jobs()[-1].id)


def test_ctrl_c_saves_the_best_so_far_and_resume_goes_on(tmp_path):
    job = small_onnx.write_job(tmp_path, tuning__exit_policy={"max_trials": ENOUGH})
    process = command.start("tune", "job.yaml", cwd=tmp_path)
    read_until(process, "trial   3")
    interrupt(process)
    code, said = end(process)
    assert code == 130, said
    assert "Stopping and saving the best so far" in said
    assert "Promise kept" in said
    assert "autoq tune --resume" in said
    (results,) = (tmp_path / "workspace" / "jobs").iterdir()
    assert (results / "report.html").exists()
    assert list((results / "model").glob("*.onnx"))
    stopped = trials(tmp_path)
    searched = [t for t in stopped if not t.proposal.exact]
    assert len(searched) < ENOUGH

    done = command.autoq("tune", job, "--resume", "--max-trials", str(len(searched)), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    resumed = trials(tmp_path)
    assert resumed[: len(stopped)] == stopped
    assert len([t for t in resumed if not t.proposal.exact]) == len(searched) + 1


def test_a_second_ctrl_c_quits_at_once(tmp_path):
    toy_job.write_job(tmp_path, toy_job.toy_chain((0.0,) * 3, op1="hang"))
    job = toy_job.write_job(
        tmp_path, toy_job.toy_chain((0.0,) * 3, op1="hang"), runner__kind="subprocess", runner__timeout=600.0
    )
    (tmp_path / "job.yaml").write_text(job_to_yaml(job))
    process = command.start("tune", "job.yaml", cwd=tmp_path)
    read_until(process, "Searching")
    children = wait_for_children(process)
    time.sleep(0.5)
    interrupt(process)
    read_until(process, "Stopping")
    started = time.monotonic()
    interrupt(process)
    code, said = end(process)
    assert code == 130, said
    assert time.monotonic() - started < 30
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert [t.number for t in trials(tmp_path)] == [0]


def wait_for_children(process) -> list[psutil.Process]:
    for _ in range(100):
        found = psutil.Process(process.pid).children()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("there is no child")


def test_ctrl_c_before_there_is_anything_to_hand_over_says_so(tmp_path):
    small_onnx.write_job(tmp_path)
    process = command.start("tune", "job.yaml", cwd=tmp_path)
    read_until(process, "Loading")
    interrupt(process)
    code, said = end(process)
    assert code == 130, said
    assert "nothing to hand over yet" in said
    done = command.autoq("tune", "job.yaml", "--resume", "--max-trials", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


IMPORTING = """
import runpy, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "autoq.cli.console":
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
sys.argv = ["autoq", "doctor"]
runpy.run_module("autoq", run_name="__main__")
"""


def test_ctrl_c_while_the_command_is_imported_ends_quietly(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], cwd=tmp_path, env=command.environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_ctrl_c_while_saving_still_saves(tmp_path):
    small_onnx.write_job(tmp_path, tuning__exit_policy={"max_trials": 1})
    process = command.start("tune", "job.yaml", cwd=tmp_path)
    read_until(process, "Saving")
    interrupt(process)
    code, said = end(process)
    assert code in (0, 130), said  # 0 when all was written before the signal came
    (results,) = (tmp_path / "workspace" / "jobs").iterdir()
    assert {"model", "report.html", "bundle"} <= {p.name for p in results.iterdir()}
