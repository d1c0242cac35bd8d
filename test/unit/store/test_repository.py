import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event

from autoq.core.errors import StoreError
from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan, Proposal
from autoq.core.precision import DType, Mode, OpPrecision, TensorQuant
from autoq.core.records import Records
from autoq.core.task import Split
from autoq.core.trial import Failure, FailureKind, MetricScore, Trial, TrialState
from autoq.store.models import Base
from autoq.store.repository import Store

STATIC = OpPrecision(Mode.STATIC, TensorQuant(DType.INT8), TensorQuant(DType.UINT8))
PLAN = Plan({"conv": STATIC})
PROPOSAL = Proposal(PLAN, 64, LatencyEffort.QUICK, "first")


def finished(number: int = 0, proposal: Proposal = PROPOSAL, loss: float = 0.1) -> Trial:
    score = MetricScore("top1", 0.5, 0.6, Interval(loss, loss - 0.1, loss + 0.1), 0.2, True, 64)
    return Trial(number, proposal, TrialState.COMPLETE, (score,), size_bytes=10, realized=proposal.plan)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "work space?%20") as store:
        yield store


@pytest.fixture
def job(store):
    return store.create_job("net", "d1", {"model": {"name": "net"}}).id


def test_a_job_comes_back_as_it_was_created(store):
    created = store.create_job("net", "d1", {"a": [1, {"b": None}]})
    assert store.job(created.id) == created
    assert store.jobs() == [created]


def test_job_ids_sort_by_time_and_stay_unique(store):
    ids = [store.create_job("net", "d", {}).id for _ in range(50)]
    assert len(set(ids)) == 50
    assert [i[:15] for i in ids] == sorted(i[:15] for i in ids)


def test_latest_job_is_the_youngest_of_its_digest(store):
    store.create_job("net", "d1", {})
    second = store.create_job("net", "d1", {})
    store.create_job("net", "d2", {})
    latest = store.latest_job("d1")
    assert latest is not None
    assert latest.id == second.id
    assert store.latest_job("other") is None


def test_an_unknown_job_is_a_clear_error(store):
    with pytest.raises(StoreError, match="no job 'nope'"):
        store.job("nope")


def test_status_is_kept(store, job):
    store.set_status(job, "running")
    assert store.job(job).status == "running"


def test_what_happens_to_a_job_is_kept_in_order(store, job):
    store.set_status(job, "running")
    store.add_event(job, "phase", {"name": "search"})
    number = 0
    store.start_trial(job, number, Proposal(FP32_PLAN))
    store.finish_trial(job, Trial(number, Proposal(FP32_PLAN), TrialState.COMPLETE))
    kinds = [event.kind for event in store.events(job)]
    assert kinds == ["status", "phase", "trial_started", "trial_finished"]


def test_starts_are_counted_until_the_trial_is_finished(store, job):
    assert store.start_trial(job, 0, PROPOSAL) == 1
    assert store.start_trial(job, 0, PROPOSAL) == 2
    assert store.orphans(job) == [(0, PROPOSAL, 2)]
    store.finish_trial(job, finished())
    assert store.orphans(job) == []
    with pytest.raises(StoreError, match="finished"):
        store.start_trial(job, 0, PROPOSAL)


def test_a_number_belongs_to_one_proposal(store, job):
    store.start_trial(job, 0, PROPOSAL)
    with pytest.raises(StoreError, match="another plan"):
        store.start_trial(job, 0, Proposal(FP32_PLAN))


def test_a_discarded_start_leaves_no_orphan(store, job):
    store.start_trial(job, 0, PROPOSAL)
    store.discard_start(job, 0)
    assert store.orphans(job) == []


def test_discarding_a_restart_keeps_the_crash_before_it(store, job):
    store.start_trial(job, 0, PROPOSAL)
    store.start_trial(job, 0, PROPOSAL)
    store.discard_start(job, 0)
    assert store.orphans(job) == [(0, PROPOSAL, 1)]


def test_trials_come_back_in_order_and_whole(store, job):
    failed = Trial(1, Proposal(FP32_PLAN), TrialState.CRASHED, failure=Failure(FailureKind.CRASH, "killed"))
    for trial in (failed, finished(0)):
        store.start_trial(job, trial.number, trial.proposal)
        store.finish_trial(job, trial)
    assert store.trials(job) == [finished(0), failed]


def test_an_infinite_loss_survives(store, job):
    store.start_trial(job, 0, PROPOSAL)
    store.finish_trial(job, finished(loss=math.inf))
    assert store.trials(job)[0].scores[0].loss.value == math.inf


def test_finishing_needs_a_start_and_happens_once(store, job):
    with pytest.raises(StoreError, match="never started"):
        store.finish_trial(job, finished())
    store.start_trial(job, 0, PROPOSAL)
    store.finish_trial(job, finished())
    with pytest.raises(StoreError, match="finished already"):
        store.finish_trial(job, finished())


def test_trial_and_records_are_one_transaction(store, job):
    class Broken(Records):
        def to_bytes(self) -> bytes:
            raise RuntimeError("no bytes")

    good = Records.of_rows(np.arange(3.0))
    store.start_trial(job, 0, PROPOSAL)
    with pytest.raises(RuntimeError, match="no bytes"):
        store.finish_trial(job, finished(), {"tune": {"a": good, "b": Broken(good.values, good.offsets)}})
    assert store.trials(job) == []
    assert store.records(job, PLAN.digest, Split.TUNE) is None


def test_records_are_kept_by_split_and_replaced_when_extended(store, job):
    store.start_trial(job, 0, PROPOSAL)
    store.finish_trial(job, finished(), {Split.TUNE: {"top1": Records.of_rows(np.arange(3.0))}})
    assert store.records(job, PLAN.digest, Split.HELD_OUT) is None
    store.save_records(job, PLAN.digest, Split.TUNE, {"top1": Records.of_rows(np.arange(5.0))})
    found = store.records(job, PLAN.digest, "tune")
    assert found is not None
    np.testing.assert_array_equal(found["top1"].values[:, 0], np.arange(5.0))


@pytest.mark.parametrize("value", [0, "", [], {"a": 1.5}, [math.inf]])
def test_a_fact_is_read_again_as_it_was(store, job, value):
    assert store.fact(job, "costs") is None
    store.set_fact(job, "costs", "old")
    store.set_fact(job, "costs", value)
    assert store.fact(job, "costs") == value
    store.set_fact(job, "costs", None)
    assert store.fact(job, "costs") is None


def test_events_keep_their_order(store, job):
    for kind in ("b", "a", "c"):
        store.add_event(job, kind, {"of": kind})
    assert [(e.kind, e.body) for e in store.events(job)] == [(k, {"of": k}) for k in "bac"]


def test_facts_of_an_unknown_job_are_refused(store):
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.set_fact("nope", "costs", 1)


def test_migrations_make_exactly_the_tables_of_the_models(store):
    with store._reader.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_everything_is_there_after_reopening(tmp_path):
    with Store.open(tmp_path) as store:
        job = store.create_job("net", "d", {}).id
        store.start_trial(job, 0, PROPOSAL)
        store.finish_trial(job, finished())
    with Store.open(tmp_path) as store:
        assert store.trials(job) == [finished()]


def test_another_url_is_used(tmp_path):
    with Store.open(tmp_path / "workspace", f"sqlite:///{tmp_path / 'elsewhere.db'}") as store:
        store.create_job("net", "d", {})
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "workspace" / "autoq.db").exists()


@pytest.mark.parametrize(("url", "message"), [("nonsense", "not a database URL"), ("nosuchdb://x", "no driver")])
def test_a_wrong_url_is_a_clear_error(tmp_path, url, message):
    with pytest.raises(StoreError, match=message):
        Store.open(tmp_path, url)


def test_a_file_in_the_way_of_the_workspace_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        Store.open(tmp_path / "file" / "workspace")


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path):
    (tmp_path / "autoq.db").write_bytes(b"this is a shopping list, not a database" * 100)
    with pytest.raises(StoreError, match="not an autoq store"):
        Store.open(tmp_path)


def test_a_newer_schema_is_refused(tmp_path):
    Store.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "autoq.db")
    connection.execute("UPDATE alembic_version SET version_num = '999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"newer autoq \(schema 999\)"):
        Store.open(tmp_path)


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    with Store.open(tmp_path) as store:
        job = store.create_job("net", "d", {}).id

        @event.listens_for(store._reader, "begin")
        def _limit(connection):
            connection.exec_driver_sql("PRAGMA max_page_count = 40")

        noise = Records.of_rows(np.random.default_rng(0).random(100_000))
        with pytest.raises(StoreError, match="disk is full") as caught:
            store.save_records(job, "plan", "tune", {"top1": noise})
        assert "--resume" in str(caught.value)
        assert store.job(job).name == "net"


def test_threads_share_one_store(store, job):
    def count() -> None:
        for _ in range(20):
            store.add_event(job, "count", {})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.events(job)) == 80


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


OPEN_AND_COUNT = """
import sys
from pathlib import Path
from autoq.store.repository import Store
with Store.open(Path(sys.argv[1])) as store:
    for _ in range(20):
        store.create_job("net", "d", {})
"""


def test_two_processes_open_a_fresh_store_at_once(tmp_path):
    processes = [run(OPEN_AND_COUNT, tmp_path) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=60)
    assert [p.returncode for p in processes] == [0, 0]
    with Store.open(tmp_path) as store:
        assert len(store.jobs()) == 40


HOLD = """
import sys
from pathlib import Path
from autoq.store.repository import Store
with Store.open(Path(sys.argv[1])) as store, store.lock_job(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
    import time; time.sleep(60)
"""


def test_a_job_runs_in_one_process_at_a_time(store, job):
    holder = run(HOLD, store.workspace, job)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"run by process {holder.pid}"), store.lock_job(job):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with store.lock_job(job):
        assert (store.workspace / "jobs" / job / "lock").read_text() == f"{os.getpid()}\n"


WRITE_FOREVER = """
import sys
from pathlib import Path
import numpy as np
from autoq.core.plan import Plan, Proposal
from autoq.core.records import Records
from autoq.core.trial import Trial, TrialState
from autoq.core.capability import Recipe
from autoq.store.repository import Store
with Store.open(Path(sys.argv[1])) as store:
    for number in range(10**6):
        proposal = Proposal(Plan(recipes=(Recipe(f"r{number}"),)))
        store.start_trial(sys.argv[2], number, proposal)
        records = Records.of_rows(np.random.default_rng(number).random((5000, 4)))
        store.finish_trial(sys.argv[2], Trial(number, proposal, TrialState.COMPLETE), {"tune": {"top1": records}})
        print(number, flush=True)
"""


@pytest.mark.parametrize("after", [0, 3, 11])
def test_a_killed_process_leaves_only_whole_trials(store, job, after):
    writer = run(WRITE_FOREVER, store.workspace, job)
    assert writer.stdout is not None
    for _ in range(after + 1):
        assert writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate()
    told = after + len(rest.splitlines())
    trials = store.trials(job)
    assert len(trials) >= told
    assert [t.number for t in trials] == list(range(len(trials)))
    for trial in trials:
        records = store.records(job, trial.plan.digest, "tune")
        assert records is not None
        assert len(records["top1"]) == 5000
    assert [starts for _, _, starts in store.orphans(job)] in ([], [1])
