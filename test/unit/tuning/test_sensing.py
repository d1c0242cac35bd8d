"""Services to strategies: measured once, kept by content, and none of it lost."""

from __future__ import annotations

import json

import pytest
import toy_job

from autoq.core.inquiry import Need
from autoq.core.plan import Plan
from autoq.core.task import Calibrate, Sense, Sensed, answer_from_json, answer_to_json, task_from_json, task_to_json
from autoq.testing.toy import INT8
from autoq.tuning.assemble import workbench_of

UNITS = {f"op{i}": (f"op{i}",) for i in range(4)}
PLAN = Plan(dict.fromkeys(UNITS, INT8))


@pytest.fixture
def job(tmp_path):
    return toy_job.write_job(tmp_path, toy_job.toy_chain((0.3, 0.1, 0.0, 0.2)))


def sense(job, need=Need.SENSITIVITY, *, units=UNITS, seconds=60.0, listener=lambda _: None):
    bench = workbench_of(job)
    bench.handle(Calibrate(), lambda _: None)
    answer = bench.handle(Sense(need, PLAN, units, 16, seconds), listener)
    assert isinstance(answer, Sensed)
    return answer


def test_noisier_ops_are_more_sensitive(job):
    values = sense(job).values
    assert values["op2"] == 0.0
    assert values["op0"] > values["op3"] > values["op1"] > 0


def test_a_unit_of_several_ops_is_quantized_as_a_whole(job):
    values = sense(job, units={"pair": ("op0", "op3"), "op1": ("op1",)}).values
    assert values["pair"] > sense(job).values["op0"]


def test_local_errors_come_from_the_adaptor(job):
    values = sense(job, Need.LOCAL_ERROR).values
    assert set(values) == set(UNITS)
    assert values["op0"] > values["op1"]


def test_what_a_framework_does_not_measure_has_a_reason(job):
    answer = sense(job, Need.CURVATURE)
    assert not answer.values
    assert "curvature" in answer.reason


def test_what_was_measured_is_not_measured_again(job, monkeypatch):
    first = sense(job)
    monkeypatch.setattr("autoq.tuning.sensing._sensitivity", lambda *_: pytest.fail("measured again"))
    assert sense(job) == first


def test_time_that_does_not_suffice_leaves_units_out_and_the_rest_is_measured_later(job):
    none = sense(job, seconds=-1.0)
    assert not none.values
    assert "4 of 4 ops" in none.reason
    assert set(sense(job).values) == set(UNITS)


def test_what_was_measured_before_a_death_is_kept(job, tmp_path, monkeypatch):
    monkeypatch.setattr("autoq.tuning.sensing._KEEP_EVERY", -1.0)

    def dies(progress):
        if progress.phase == "sensitivity" and progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sense(job, listener=dies)
    (kept,) = (tmp_path / "workspace" / "cache").glob("sensed-*.json")
    assert len(json.loads(kept.read_text())["values"]) == 2
    assert set(sense(job).values) == set(UNITS)


def test_a_damaged_file_is_measured_again(job, tmp_path):
    first = sense(job)
    (kept,) = (tmp_path / "workspace" / "cache").glob("sensed-*.json")
    kept.write_text("{")
    assert sense(job) == first


def test_an_op_that_cannot_be_built_is_left_out_with_its_reason(tmp_path):
    answer = sense(toy_job.write_job(tmp_path, toy_job.toy_chain((0.1,) * 4, op1="build")))
    assert set(answer.values) == {"op0", "op2", "op3"}
    assert "op1" in answer.reason


def test_progress_is_told(job):
    seen = []
    sense(job, listener=seen.append)
    told = [p for p in seen if p.phase == "sensitivity"]
    assert [told[0].done, told[-1].done, told[-1].total] == [0, 4, 4]


def test_task_and_answer_survive_json():
    task = Sense(Need.LOCAL_ERROR, PLAN, UNITS, 16, 5.0)
    assert task_from_json(json.loads(json.dumps(task_to_json(task)))) == task
    answer = Sensed({"op0": 0.5}, "half")
    assert answer_from_json(json.loads(json.dumps(answer_to_json(answer)))) == answer
