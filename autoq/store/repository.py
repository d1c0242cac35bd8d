"""The store: jobs, trials, records, facts and events. The only module that speaks SQL."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from autoq.core.errors import StoreError
from autoq.core.plan import Proposal
from autoq.core.records import Records
from autoq.core.trial import Trial, TrialState
from autoq.store.artifacts import JobFolder
from autoq.store.database import open_database
from autoq.store.database_failures import of_database_error
from autoq.store.lock import LockedError, file_lock
from autoq.store.models import EventTable, FactTable, JobTable, RecordTable, TrialTable
from autoq.store.rows import EventRow, JobRow


class Store:
    """What is known of every job of a workspace. Each method is one transaction; any thread may call it.

    Args:
        workspace: The folder it belongs to.
        reader: Engine for reading.
        writer: Engine for writing.
    """

    def __init__(self, workspace: Path, reader: Engine, writer: Engine) -> None:
        self.workspace = workspace
        self._reader = reader
        self._writer = writer

    @classmethod
    def open(cls, workspace: Path, url: str | None = None) -> Store:
        """Open a workspace's store, made and brought up to date if needed.

        Args:
            workspace: Folder; holds the SQLite file unless `url` names another database.
            url: Any SQLAlchemy URL.

        Raises:
            StoreError: Not writable, full, not a store, or written by a newer autoq.
        """
        return cls(workspace, *open_database(workspace, url))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._reader.dispose()

    # -- jobs --------------------------------------------------------------------------------------------------

    def create_job(self, name: str, digest: str, body: Mapping[str, Any]) -> JobRow:
        """A new job with an id of its own."""
        now = time.time()
        job_id = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with self._writing() as session:
            while session.get(JobTable, job_id) is not None:
                job_id = f"{job_id[:-4]}{secrets.token_hex(2)}"
            row = JobTable(
                id=job_id,
                name=name,
                created=now,
                digest=digest,
                body=dict(body),
                status="created",
            )
            session.add(row)
            return JobRow.of(row)

    def job(self, job_id: str) -> JobRow:
        """One job.

        Raises:
            StoreError: There is none of this id.
        """
        with self._reading() as session:
            return JobRow.of(self._job(session, job_id))

    def jobs(self) -> list[JobRow]:
        """All jobs, oldest first."""
        with self._reading() as session:
            return [JobRow.of(r) for r in session.scalars(select(JobTable).order_by(JobTable.created, JobTable.id))]

    def latest_job(self, digest: str) -> JobRow | None:
        """The youngest job of this content."""
        query = select(JobTable).where(JobTable.digest == digest).order_by(JobTable.created.desc(), JobTable.id.desc())
        with self._reading() as session:
            row = session.scalars(query.limit(1)).first()
            return JobRow.of(row) if row is not None else None

    def set_status(self, job_id: str, status: str) -> None:
        """Say where a job stands."""
        with self._writing() as session:
            self._job(session, job_id).status = status
            _note(session, job_id, "status", {"status": status})

    @contextmanager
    def lock_job(self, job_id: str) -> Iterator[None]:
        """Hold a job, so that no second process runs it; the lock ends with the process.

        Raises:
            StoreError: Another process runs it.
        """
        lock = file_lock(JobFolder(self.workspace, job_id).lock, wait=False)
        try:
            lock.__enter__()
        except LockedError as error:
            raise StoreError(
                f"job {job_id} is being run by process {error.holder or '(unknown)'}",
                where=str(self.workspace),
                hint="wait for it, or stop that process and try again",
            ) from None
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    # -- trials ------------------------------------------------------------------------------------------------

    def start_trial(self, job_id: str, number: int, proposal: Proposal) -> int:
        """Write that a trial begins, before it does.

        Returns:
            How often this number was started, this time included: 2 after one start that never finished.

        Raises:
            StoreError: This number is finished, or belongs to another proposal.
        """
        asked = proposal.to_json()
        with self._writing() as session:
            row = session.get(TrialTable, (job_id, number))
            if row is None:
                self._job(session, job_id)
                row = TrialTable(
                    job_id=job_id,
                    number=number,
                    starts=0,
                    state=str(TrialState.RUNNING),
                    plan_digest=proposal.plan.digest,
                    samples=proposal.samples,
                    latency=str(proposal.latency),
                    proposal=asked,
                    body=None,
                )
                session.add(row)
            elif row.body is not None:
                raise StoreError(f"trial {number} is finished and cannot be started again", where=job_id)
            elif (row.plan_digest, row.samples, row.latency) != (
                proposal.plan.digest,
                proposal.samples,
                str(proposal.latency),
            ):
                raise StoreError(f"trial {number} was started for another plan", where=job_id)
            row.starts += 1
            _note(session, job_id, "trial_started", {"number": number, "starts": row.starts})
            return row.starts

    def discard_start(self, job_id: str, number: int) -> None:
        """Take the last start of a trial back: the user stopped it, it did not crash."""
        with self._writing() as session:
            row = session.get(TrialTable, (job_id, number))
            if row is None or row.body is not None:
                raise StoreError(f"trial {number} is not running", where=job_id)
            row.starts -= 1
            if row.starts == 0:
                session.delete(row)

    def finish_trial(
        self, job_id: str, trial: Trial, records: Mapping[str, Mapping[str, Records]] | None = None
    ) -> None:
        """Write a finished trial, and its records by split and metric, in one transaction.

        Raises:
            StoreError: It was not started, or is finished already.
        """
        with self._writing() as session:
            row = session.get(TrialTable, (job_id, trial.number))
            if row is None or row.body is not None:
                what = "was never started" if row is None else "is finished already"
                raise StoreError(f"trial {trial.number} {what}", where=job_id)
            row.state = str(trial.state)
            row.body = trial.to_json()
            for split, by_metric in (records or {}).items():
                _put_records(session, job_id, trial.plan.digest, split, by_metric)
            _note(session, job_id, "trial_finished", {"number": trial.number, "state": str(trial.state)})

    def trials(self, job_id: str) -> list[Trial]:
        """The finished trials, by number."""
        query = select(TrialTable.body).where(TrialTable.job_id == job_id, TrialTable.state != str(TrialState.RUNNING))
        with self._reading() as session:
            return [Trial.from_json(body) for body in session.scalars(query.order_by(TrialTable.number))]

    def orphans(self, job_id: str) -> list[tuple[int, Proposal, int]]:
        """Trials that were started and never finished: number, proposal, starts so far."""
        query = select(TrialTable).where(TrialTable.job_id == job_id, TrialTable.state == str(TrialState.RUNNING))
        with self._reading() as session:
            rows = session.scalars(query.order_by(TrialTable.number))
            return [(r.number, Proposal.from_json(r.proposal), r.starts) for r in rows]

    # -- records -----------------------------------------------------------------------------------------------

    def records(self, job_id: str, plan_digest: str, split: str) -> dict[str, Records] | None:
        """Per-sample records of a plan by metric; None when it was never scored on this split."""
        query = select(RecordTable).where(
            RecordTable.job_id == job_id, RecordTable.plan_digest == plan_digest, RecordTable.split == str(split)
        )
        with self._reading() as session:
            found = {row.metric: Records.from_bytes(row.body) for row in session.scalars(query)}
        return found or None

    def save_records(self, job_id: str, plan_digest: str, split: str, records: Mapping[str, Records]) -> None:
        """Write records of a plan, in place of what was there."""
        with self._writing() as session:
            _put_records(session, job_id, plan_digest, split, records)

    # -- facts and events --------------------------------------------------------------------------------------

    def fact(self, job_id: str, key: str) -> Any | None:
        """What was measured once under this key, or None."""
        with self._reading() as session:
            row = session.get(FactTable, (job_id, key))
            return row.value if row is not None else None

    def set_fact(self, job_id: str, key: str, value: Any) -> None:
        """Keep plain data under a key, in place of what was there; None removes it."""
        with self._writing() as session:
            if value is None:
                session.execute(delete(FactTable).where(FactTable.job_id == job_id, FactTable.key == key))
            else:
                session.merge(FactTable(job_id=job_id, key=key, value=value))

    def add_event(self, job_id: str, kind: str, body: Mapping[str, Any]) -> None:
        """Note that something happened now."""
        with self._writing() as session:
            _note(session, job_id, kind, body)

    def events(self, job_id: str) -> list[EventRow]:
        """What happened, oldest first."""
        query = select(EventTable).where(EventTable.job_id == job_id).order_by(EventTable.id)
        with self._reading() as session:
            return [EventRow.of(r) for r in session.scalars(query)]

    # -- inside ------------------------------------------------------------------------------------------------

    def _job(self, session: Session, job_id: str) -> JobTable:
        row = session.get(JobTable, job_id)
        if row is None:
            raise StoreError(
                f"there is no job '{job_id}' in this workspace",
                where=str(self.workspace),
                hint="`autoq report` without a job lists those there are",
            )
        return row

    def _reading(self) -> _Transaction:
        return _Transaction(self._reader)

    def _writing(self) -> _Transaction:
        return _Transaction(self._writer)


class _Transaction:
    """A session that commits at the end of its block, and tells failures as `StoreError`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session = Session(engine)

    def __enter__(self) -> Session:
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._session.commit()
            self._session.close()
        except SQLAlchemyError as failure:
            self._session.close()
            raise self._told(failure) from failure
        if isinstance(error, SQLAlchemyError):
            raise self._told(error) from error

    def _told(self, error: SQLAlchemyError) -> StoreError:
        return of_database_error(error, self._engine.url.render_as_string())


def _note(session: Session, job_id: str, kind: str, body: Mapping[str, Any]) -> None:
    session.add(EventTable(job_id=job_id, time=time.time(), kind=kind, body=dict(body)))


def _put_records(session: Session, job_id: str, plan_digest: str, split: str, records: Mapping[str, Records]) -> None:
    for metric, found in records.items():
        session.merge(
            RecordTable(
                job_id=job_id,
                plan_digest=plan_digest,
                split=str(split),
                metric=metric,
                samples=len(found),
                body=found.to_bytes(),
            )
        )
