"""What drivers share: evaluations are counted, the best attempt is kept, the time limit ends a search."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import neutral
from benchmarks.peers.drivers.session import ATTEMPT, OUTCOME, Answer, Session
from benchmarks.peers.neutral import Arrays, Task

_SAMPLES = 10


def _float(inputs: Arrays) -> Sequence[Any]:
    return [inputs["x"]]


def _wrong(inputs: Arrays) -> Sequence[Any]:
    return [-inputs["x"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    task = tmp_path / "task"
    task.mkdir()
    x = np.random.default_rng(0).normal(size=(_SAMPLES, 2))
    for name in neutral.SETS:
        neutral.write_samples(task, name, {"x": x}, x.argmax(-1))
    neutral.write_task(task, Task("t", ("x",), "accuracy", batch_size=4))
    (tmp_path / "out").mkdir()
    return task


def _session(folder: Path, timeout: float = math.inf) -> Session:
    return Session(folder, 0.05, timeout, folder.parent / "out", _float)


def _outcome(session: Session) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((session.out / OUTCOME).read_text())
    return body


def test_a_task_survives_its_file(folder: Path) -> None:
    assert neutral.read_task(folder) == Task("t", ("x",), "accuracy", batch_size=4)


def test_evaluations_and_samples_are_counted(folder: Path) -> None:
    session = _session(folder)

    def tool(session: Session) -> Answer:
        session.evaluate(_float)
        session.evaluate(_float, [session.tune.part(0, 3)])
        return Answer("model.onnx", accepted=True)

    session.search(tool, ())
    found = _outcome(session)
    assert (found["status"], found["accepted"], found["evaluations"], found["samples"]) == ("finished", True, 2, 13)


def test_the_best_quantized_model_is_kept_as_the_attempt(folder: Path) -> None:
    session = _session(folder)

    def tool(session: Session) -> Answer:
        for run, text in ((_wrong, "bad"), (_float, "good"), (_wrong, "worse")):
            session.evaluate(run, keep=partial(Path.write_text, data=text))
        return Answer(None, accepted=False)

    session.search(tool, ())
    assert (session.out / ATTEMPT).read_text() == "good"


def test_the_time_limit_ends_a_search(folder: Path) -> None:
    session = _session(folder, timeout=0.0)

    def tool(session: Session) -> Answer:
        session.evaluate(_float)
        return Answer("model.onnx", accepted=True)

    session.search(tool, ())
    assert _outcome(session)["status"] == "out of time"
    assert not _outcome(session)["accepted"]


def test_what_was_counted_is_there_when_a_search_crashes(folder: Path) -> None:
    session = _session(folder)

    def tool(session: Session) -> Answer:
        session.evaluate(_float)
        raise RuntimeError("the tool broke")

    with pytest.raises(RuntimeError, match="the tool broke"):
        session.search(tool, ())
    assert (_outcome(session)["status"], _outcome(session)["evaluations"]) == ("running", 1)


def test_labels_of_agreement_are_fp32s_own_answers(folder: Path) -> None:
    neutral.write_task(folder, Task("t", ("x",), "agreement"))
    session = Session(folder, 0.05, math.inf, folder.parent / "out", _wrong)
    assert session.baseline == 1.0
    session.search(lambda s: Answer(None, accepted=s.evaluate(_wrong).score == 1.0), ())
    assert _outcome(session)["accepted"]


def test_the_last_full_evaluation_says_whether_the_limit_is_kept(folder: Path) -> None:
    session = _session(folder)
    session.search(lambda s: Answer(None, accepted=s.evaluate(_wrong).score > 1), ())
    assert not session.kept
