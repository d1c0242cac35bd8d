"""Killed at many points, a job ends as one that was never touched: on a framework whose clock is exact."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import run_toy_job
import toy_job

from autoq.config.json_schema import job_to_json
from autoq.core.trial import FailureKind, TrialState
from autoq.run import run_job
from autoq.store.repository import Store
from autoq.tuning.outcome import SilentListener

KILLS = 20
NOISES = (3.0, 2.0, 0.01, 0.01, 0.01, 1.5, 0.01, 0.01, 0.4, 0.02)


def started(job) -> tuple[subprocess.Popen, int]:
    """Run the job in a process of its own, resuming what is there; returns it and a pipe it tells trials on."""
    reading, writing = os.pipe()
    description = job.base / "job.json"
    description.write_text(json.dumps(job_to_json(job)))
    process = subprocess.Popen(
        [sys.executable, run_toy_job.__file__, str(description), str(writing)],
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    os.read(reading, 1)
    return process, reading


def finish(job) -> int:
    process, reading = started(job)
    code = process.wait()
    os.close(reading)
    return code


def kill(process: subprocess.Popen, reading: int) -> None:
    process.kill()
    process.wait()
    os.close(reading)


def trials_of(job) -> list:
    with Store.open(job.resolve("workspace")) as store:
        (row,) = store.jobs()
        return store.trials(row.id)


def orphans_of(job) -> list[int]:
    if not (job.resolve("workspace") / "autoq.db").exists():
        return []
    with Store.open(job.resolve("workspace")) as store:
        return [number for row in store.jobs() for number, _, _ in store.orphans(row.id)]


def kill_at_random(job, points: random.Random, longest: float) -> None:
    after_orphan = any(number > 0 for number in orphans_of(job))
    process, reading = started(job)
    if after_orphan:
        os.read(reading, 1)  # an orphan is tried once more: killed twice, it would count as crashed
    time.sleep(points.uniform(0, longest))
    kill(process, reading)


def essence(trials) -> list:
    return [(t.number, t.plan.digest, t.proposal.samples, t.state, t.scores, t.realized) for t in trials]


PLAIN = toy_job.toy_chain(NOISES)
COMPILED = replace(PLAIN, half_speed=0.8, compile_seconds=1000.0, compile_sleep=0.05)
"""Its candidates take a while to compile, so that some kills come while one does."""


@pytest.mark.parametrize(
    ("strategy", "model"),
    [("basic", PLAIN), ("random", PLAIN), ("basic", COMPILED)],
    ids=["basic", "random", "basic, compiled"],
)
def test_twenty_kills_change_nothing(tmp_path, strategy, model):
    whole = toy_job.write_job(tmp_path / "whole", model, tuning__strategy={"name": strategy},
                              tuning__exit_policy={"max_trials": 40})  # fmt: skip
    process, reading = started(whole)
    began = time.monotonic()
    assert process.wait() == 0
    os.close(reading)
    longest = time.monotonic() - began
    job = toy_job.write_job(tmp_path / "killed", model, tuning__strategy={"name": strategy},
                            tuning__exit_policy={"max_trials": 40})  # fmt: skip
    points = random.Random(7)
    finished: dict[int, object] = {}
    for _ in range(KILLS):
        kill_at_random(job, points, longest / 8)  # so that together they take about as long as one whole run
        if (job.resolve("workspace") / "autoq.db").exists():
            now = {t.number: t for t in trials_of(job)} if has_job(job) else {}
            assert {n: now.get(n) for n in finished} == finished
            finished = now
    assert finish(job) == 0
    assert essence(trials_of(job)) == essence(trials_of(whole))
    assert plan_text(job) == plan_text(whole)


def has_job(job) -> bool:
    with Store.open(job.resolve("workspace")) as store:
        return bool(store.jobs())


def plan_text(job) -> str:
    (path,) = Path(job.resolve("workspace")).glob("jobs/*/plan.yaml")
    return path.read_text()


def test_a_plan_that_kills_autoq_twice_is_recorded_as_crashed(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain((0.0,) * 3, op1="exit"))
    exits = []
    for _ in range(20):
        exits.append(finish(job))
        if exits[-1] == 0:
            break
    assert exits[:2] == [42, 42]
    assert exits[-1] == 0
    crashed = [t for t in trials_of(job) if t.state is TrialState.CRASHED]
    assert crashed
    assert all("op1" in t.plan for t in crashed)
    assert crashed[0].failure.kind is FailureKind.CRASH
    assert "killed 2 times" in crashed[0].failure.message


def test_time_spent_before_a_kill_counts(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain(NOISES))
    process, reading = started(job)
    for _ in range(4):
        os.read(reading, 1)
    kill(process, reading)
    with Store.open(job.resolve("workspace")) as store:
        assert store.fact(store.jobs()[0].id, "seconds")["search"] > 0


def test_running_a_finished_job_again_scores_nothing_and_gives_the_same(tmp_path):
    job = toy_job.write_job(tmp_path, toy_job.toy_chain(NOISES))
    first = run_job(job, SilentListener())
    again = SilentListener()
    second = run_job(job, again, resume=True)
    assert again.trials == []
    assert second.plan == first.plan
    assert second.trials == first.trials
