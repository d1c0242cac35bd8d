"""`autoq tune` killed with -9 at 20 points of a real ONNX job loses no finished trial and repeats none."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import command
import psutil
import small_onnx

from autoq.store.repository import Store

KILLS = 20
TRIALS = 12
_TRIAL = re.compile(r"^trial +(\d+)")
# Where in a run a kill waits for before its random delay: the start, a newly finished trial, and the end of the run.
_POINTS = (
    *["", ""],
    *["Loading", "Scoring fp32", "Calibrating"],
    *["trial"] * 10,
    *["Measuring the finalists", "Scoring held-out", "Measuring memory", "Measuring memory", "Saving"],
)


@dataclass
class Sessions:
    """A job and what its sessions printed."""

    folder: Path
    printed: Counter = field(default_factory=Counter)

    def begin(self) -> subprocess.Popen[str]:
        known = (self.folder / "workspace" / "jobs").exists() and any((self.folder / "workspace/jobs").iterdir())
        return command.start("tune", "job.yaml", *(["--resume"] if known else []), cwd=self.folder)

    def read_until(self, process: subprocess.Popen[str], start_of_line: str) -> list[str]:
        lines = []
        for line in process.stdout:
            lines.append(line)
            self._note(line)
            if line.startswith(start_of_line):
                break
        return lines

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        for line in process.stdout:
            self._note(line)
        process.stdout.close()
        process.wait()

    def _note(self, line: str) -> None:
        found = _TRIAL.match(line)
        if found:
            self.printed[int(found[1])] += 1


def stored(folder: Path) -> dict[int, object]:
    with Store.open(folder / "workspace") as store:
        jobs = store.jobs()
        return {t.number: t for t in store.trials(jobs[-1].id)} if jobs else {}


def has_orphan(folder: Path) -> bool:
    if not (folder / "workspace" / "autoq.db").exists():
        return False
    with Store.open(folder / "workspace") as store:
        return any(number > 0 for job in store.jobs() for number, _, _ in store.orphans(job.id))


def plan_of(folder: Path) -> str:
    path = max((folder / "workspace" / "jobs").glob("*/plan.yaml"))
    return path.read_text()


def in_full(trials):
    """Scores on all samples, by plan."""
    return {t.plan.digest: t.scores for t in trials.values() if t.full}


def test_twenty_kills_lose_and_repeat_nothing(tmp_path):
    small_onnx.write_job(tmp_path, tuning__exit_policy={"max_trials": TRIALS})
    sessions, random_ = Sessions(tmp_path), random.Random(3)
    before: dict[int, object] = {}
    for planned in _POINTS:
        # An orphan is tried once more: killed twice, it would by right count as crashed.
        point = "trial" if has_orphan(tmp_path) else planned
        process = sessions.begin()
        if point:
            sessions.read_until(process, point)
        time.sleep(random_.uniform(0, 0.25) if point else random_.uniform(0.1, 0.8))
        sessions.kill(process)
        if (tmp_path / "workspace" / "autoq.db").exists():
            now = stored(tmp_path)
            assert {n: now.get(n) for n in before} == before, "a finished trial was lost or changed"
            before = now
    last = command.autoq("tune", "job.yaml", "--resume", cwd=tmp_path)
    assert last.returncode == 0, last.stdout + last.stderr
    assert set(sessions.printed.values()) <= {1}, "a finished trial was repeated"
    finished = stored(tmp_path)
    assert sorted(finished) == list(range(len(finished)))
    # The finalist's own, in full, is no trial of the search.
    assert len([t for t in finished.values() if not t.proposal.exact]) == TRIALS + 1
    plan = plan_of(tmp_path)

    # The same seed and budget, uninterrupted, on the stored measurements: the same trials, the same plan.
    fresh = command.autoq("tune", "job.yaml", cwd=tmp_path)
    assert fresh.returncode == 0, fresh.stderr
    again = stored(tmp_path)
    assert [t for t in again.values() if t.seconds.get("evaluate")] == []
    assert {t.plan for t in again.values()} == {t.plan for t in finished.values()}
    assert in_full(again).items() >= in_full(finished).items()
    assert plan_of(tmp_path) == plan


def test_nothing_of_a_killed_run_stays_behind_once_it_is_finished(tmp_path):
    small_onnx.write_job(tmp_path, tuning__exit_policy={"max_trials": 1})
    sessions = Sessions(tmp_path)
    process = sessions.begin()
    sessions.read_until(process, "Saving")
    sessions.kill(process)
    done = command.autoq("tune", "job.yaml", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "workspace").rglob("*.part")) == []


def test_killing_the_child_costs_at_most_its_trial(tmp_path):
    small_onnx.write_job(tmp_path, tuning__exit_policy={"max_trials": 6})
    sessions = Sessions(tmp_path)
    process = sessions.begin()
    for point in ("Scoring fp32", "trial   1", "trial   3"):
        sessions.read_until(process, point)
        (child,) = psutil.Process(process.pid).children()
        os.kill(child.pid, signal.SIGKILL)
    rest = sessions.read_until(process, "model:")
    assert process.wait(60) == 0, "".join(rest)
    process.stdout.close()
    states = [str(t.state) for t in stored(tmp_path).values() if not t.proposal.exact]
    assert len(states) == 7
    assert states[0] == "complete"
    assert set(states) <= {"complete", "crashed"}
    assert states.count("crashed") <= 2
