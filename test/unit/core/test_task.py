import numpy as np
import pytest
from drawn_core import latencies, plans, strict_json, tables
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.core import task as tasks
from autoq.core.batch import TensorSpec
from autoq.core.capability import CapabilityTable
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan
from autoq.core.records import Records
from autoq.core.trial import Failure, FailureKind, Latency

counts = st.integers(0, 2**40)
seconds = st.floats(0, 1e6)


def every_task() -> st.SearchStrategy[tasks.Task]:
    return st.one_of(
        st.just(tasks.Calibrate()),
        st.builds(
            tasks.Evaluate, plans(), st.sampled_from(tasks.Split), counts, counts, st.sampled_from(LatencyEffort)
        ),
        st.builds(tasks.Measure, st.lists(plans(), max_size=2).map(tuple), st.sampled_from(LatencyEffort)),
        st.builds(tasks.MeasureMemory, plans()),
        st.builds(tasks.Profile, plans()),
        st.builds(tasks.Save, plans(), st.text()),
    )


def plain_answers() -> st.SearchStrategy[tasks.Answer]:
    return st.one_of(
        st.builds(tasks.Calibrated, seconds, counts, counts, st.booleans()),
        st.builds(tasks.Measured, st.lists(latencies(), max_size=2).map(tuple)),
        st.builds(tasks.MemoryMeasured, counts),
        st.builds(tasks.Profiled, st.dictionaries(st.text(), seconds), seconds),
        st.builds(tasks.Saved, st.lists(st.text(), max_size=3).map(tuple), counts),
        st.builds(Failure, st.sampled_from(FailureKind), st.text()),
    )


@given(every_task())
def test_task_survives_json(task: tasks.Task) -> None:
    assert tasks.task_from_json(strict_json(tasks.task_to_json(task))) == task


@given(plain_answers())
def test_answer_survives_json(answer: tasks.Answer) -> None:
    assert repr(tasks.answer_from_json(strict_json(tasks.answer_to_json(answer)))) == repr(answer)


@settings(max_examples=30)
@given(plans(), st.none() | latencies(), st.lists(st.floats(allow_nan=False), min_size=1))
def test_scores_survive_json(plan: Plan, latency: Latency | None, values: list[float]) -> None:
    ragged = Records.of_ragged([np.ones((2, 3)), np.zeros((0, 3))], 3)
    records = {"top1": Records.of_rows(np.array(values)), "map": ragged}
    answer = tasks.Evaluated(records, {"build": 0.1}, 1000, plan, latency)
    again = tasks.answer_from_json(strict_json(tasks.answer_to_json(answer)))
    assert isinstance(again, tasks.Evaluated)
    assert repr((again.seconds, again.size_bytes, again.latency)) == repr((answer.seconds, 1000, latency))
    assert again.realized == plan
    for name, one in records.items():
        assert np.array_equal(again.records[name].values, one.values)
        assert np.array_equal(again.records[name].offsets, one.offsets)


@settings(max_examples=30)
@given(tables())
def test_description_survives_json(table: CapabilityTable) -> None:
    description = tasks.Description(
        table,
        "fingerprint",
        "evidence",
        (TensorSpec("x", "float32", (None, 3, "height")),),
        (TensorSpec("y", "int64", None),),
        1000,
        (tasks.MetricInfo("top1", True, True),),
        {tasks.Split.TUNE: 300, tasks.Split.HELD_OUT: 200},
        8,
        {"numpy": "2"},
        ("a note",),
    )
    assert tasks.description_from_json(strict_json(tasks.description_to_json(description))) == description


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(KeyError):
        tasks.task_from_json({"type": "Erase"})


def test_latency_is_not_measured_unless_asked_for() -> None:
    assert tasks.Evaluate(FP32_PLAN, tasks.Split.TUNE, 0, 10).latency is LatencyEffort.NONE
