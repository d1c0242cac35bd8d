"""The child process: faults cost one trial, limits hold, its channel stays clean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import toy_job

from autoq.config.json_schema import job_to_json
from autoq.core.errors import DataError, ModelError, RunnerError
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan
from autoq.core.task import Calibrate, Evaluate, Evaluated, Split
from autoq.core.trial import Failure, FailureKind
from autoq.testing.toy import INT8
from autoq.tuning.subprocess_runner import SubprocessRunner


@pytest.fixture
def open_runner(tmp_path):
    runners = []

    def make(model, **limits):
        job = toy_job.write_job(tmp_path, model)
        runner = SubprocessRunner(job_to_json(job), tmp_path / "child.log", **limits)
        runners.append(runner)
        runner.open(lambda _: None)
        return runner

    yield make
    for runner in runners:
        runner.close()


def evaluate(runner, *ops: str):
    task_id = runner.submit(Evaluate(Plan(dict.fromkeys(ops, INT8)), Split.TUNE, 0, 120, LatencyEffort.NONE))
    outcome = runner.collect(timeout=60)
    assert outcome.task_id == task_id
    return outcome.answer


def test_scores_like_this_process(open_runner):
    answer = evaluate(open_runner(toy_job.toy_chain((0.5,) * 2)), "op0")
    assert isinstance(answer, Evaluated)
    assert len(answer.records["top1"]) == 120
    assert 0.4 < answer.records["top1"].values.mean() < 0.8


def test_a_native_crash_is_one_failed_task_and_the_child_is_replaced(open_runner):
    runner = open_runner(toy_job.toy_chain((0.0,) * 3, op1="exit"))
    crashed = evaluate(runner, "op1")
    assert isinstance(crashed, Failure)
    assert crashed.kind is FailureKind.CRASH
    assert "exit code 42" in crashed.message
    assert isinstance(evaluate(runner, "op0"), Evaluated)


def test_a_hanging_trial_is_ended(open_runner):
    runner = open_runner(toy_job.toy_chain((0.0,) * 2, op0="hang"), trial_timeout=1.5)
    hung = evaluate(runner, "op0")
    assert isinstance(hung, Failure)
    assert hung.kind is FailureKind.TIMEOUT
    assert isinstance(evaluate(runner, "op1"), Evaluated)


def test_a_trial_beyond_the_memory_limit_is_ended(open_runner):
    runner = open_runner(toy_job.toy_chain((0.0,) * 2, op0="memory"), memory_limit=700_000_000)
    failed = evaluate(runner, "op0")
    assert isinstance(failed, Failure)
    assert failed.kind is FailureKind.MEMORY
    assert "more than the limit of 700 MB" in failed.message
    assert isinstance(evaluate(runner, "op1"), Evaluated)


def test_a_killed_child_is_replaced(open_runner):
    runner = open_runner(toy_job.toy_chain((0.0,) * 2))
    os.kill(runner._child.process.pid, signal.SIGKILL)
    assert evaluate(runner, "op0").kind is FailureKind.CRASH
    assert isinstance(evaluate(runner, "op0"), Evaluated)


def test_errors_of_the_user_arrive_as_what_they_are(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain())
    (tmp_path / "toy.json").write_text("not json")
    runner = SubprocessRunner(job_to_json(job), tmp_path / "child.log")
    with pytest.raises(ModelError, match="not a toy model"):
        runner.open(lambda _: None)
    (tmp_path / "data.npz").unlink()
    toy_job.toy_chain().save(tmp_path / "toy.json")
    with pytest.raises(DataError):
        runner.open(lambda _: None)
    runner.close()


def test_cancel_abandons_the_running_task(open_runner):
    runner = open_runner(toy_job.toy_chain((0.0,) * 2))
    runner.submit(Evaluate(FP32_PLAN, Split.TUNE, 0, 120))
    runner.cancel()
    assert runner.collect(timeout=0.5) is None
    assert isinstance(evaluate(runner, "op0"), Evaluated)


def test_the_child_dies_with_its_parent(tmp_path):
    toy_job.write_job(tmp_path, toy_job.toy_chain((0.0,), op0="hang"))
    code = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from pathlib import Path
import toy_job
from autoq.config.json_schema import job_to_json
from autoq.core.plan import Plan
from autoq.core.task import Evaluate, Split
from autoq.testing.toy import INT8
from autoq.tuning.subprocess_runner import SubprocessRunner
job = toy_job.write_job(Path({str(tmp_path)!r}), toy_job.toy_chain((0.0,), op0="hang"))
runner = SubprocessRunner(job_to_json(job), Path({str(tmp_path)!r}) / "child.log")
runner.open(lambda _: None)
runner.submit(Evaluate(Plan({{"op0": INT8}}), Split.TUNE, 0, 120))
print(runner._child.process.pid, flush=True)
runner.collect()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    pytest.fail("the child outlived its parent")


def test_what_libraries_print_goes_to_the_log(open_runner, tmp_path):
    runner = open_runner(toy_job.toy_chain((0.0,) * 2, op1="exit"))
    evaluate(runner, "op1")
    runner.submit(Calibrate())
    assert runner.collect(timeout=60).answer.samples == 20
    assert (tmp_path / "child.log").exists()


def test_a_job_that_cannot_be_loaded_within_the_memory_limit_says_so(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain())
    runner = SubprocessRunner(job_to_json(job), tmp_path / "child.log", memory_limit=1_000_000)
    with pytest.raises(RunnerError, match="could not load the job"):
        runner.open(lambda _: None)


def test_collect_returns_none_when_the_timeout_passes(open_runner):
    runner = open_runner(toy_job.toy_chain((0.0,) * 2, op0="hang"))
    runner.submit(Evaluate(Plan({"op0": INT8}), Split.TUNE, 0, 120))
    started = time.monotonic()
    assert runner.collect(timeout=0.4) is None
    assert time.monotonic() - started < 30
