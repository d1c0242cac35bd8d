"""What the store gives back: frozen, detached from the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from autoq.store.models import EventTable, JobTable


@dataclass(frozen=True)
class JobRow:
    """One job.

    Attributes:
        id: Short, sortable, readable: ``20260101-120000-ab12``.
        name: The model's name in the job.
        created: When, in UTC.
        digest: Content address of the job.
        body: The job as plain data.
        status: ``created``, ``running``, ``finished``, or whatever was set last.
    """

    id: str
    name: str
    created: datetime
    digest: str
    body: Mapping[str, Any]
    status: str

    @classmethod
    def of(cls, row: JobTable) -> JobRow:
        """From the table."""
        created = datetime.fromtimestamp(row.created, UTC)
        return cls(row.id, row.name, created, row.digest, row.body, row.status)


@dataclass(frozen=True)
class EventRow:
    """Something that happened: when (UTC), what kind, and its details."""

    time: datetime
    kind: str
    body: Mapping[str, Any]

    @classmethod
    def of(cls, row: EventTable) -> EventRow:
        """From the table."""
        return cls(datetime.fromtimestamp(row.time, UTC), row.kind, row.body)
