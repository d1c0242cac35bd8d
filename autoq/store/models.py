"""The tables. Every change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Dialect, Float, ForeignKey, Index, Integer, LargeBinary, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Json(TypeDecorator[Any]):
    """Plain data as JSON text. Not the database's own JSON type: a loss may be infinite, which those refuse."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To text."""
        del dialect
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From text."""
        del dialect
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """Root of the tables."""


class JobTable(Base):
    """One job."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    created: Mapped[float] = mapped_column(Float)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    body: Mapped[Any] = mapped_column(Json)
    status: Mapped[str] = mapped_column(String(32))


class TrialTable(Base):
    """One trial: a start, and once it is finished its body."""

    __tablename__ = "trials"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    starts: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(32))
    plan_digest: Mapped[str] = mapped_column(String(64))
    samples: Mapped[int | None] = mapped_column(Integer)
    latency: Mapped[str] = mapped_column(String(16))
    proposal: Mapped[Any] = mapped_column(Json)
    body: Mapped[Any | None] = mapped_column(Json)


class RecordTable(Base):
    """Per-sample records of one plan, split and metric."""

    __tablename__ = "records"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    plan_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    split: Mapped[str] = mapped_column(String(16), primary_key=True)
    metric: Mapped[str] = mapped_column(String(256), primary_key=True)
    samples: Mapped[int] = mapped_column(Integer)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class FactTable(Base):
    """Something measured once and read again afterwards."""

    __tablename__ = "facts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    value: Mapped[Any] = mapped_column(Json)


class EventTable(Base):
    """Something that happened."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_job_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    time: Mapped[float] = mapped_column(Float)
    kind: Mapped[str] = mapped_column(String(64))
    body: Mapped[Any] = mapped_column(Json)
