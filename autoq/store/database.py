"""Opening the database: where it lies, how it is tuned, and bringing its tables up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from autoq.core.errors import StoreError
from autoq.store.database_failures import of_database_error
from autoq.store.failures import telling
from autoq.store.lock import file_lock

_BUSY_SECONDS = 30
_WRITES = "autoq_writes"


def open_database(workspace: Path, url: str | None) -> tuple[Engine, Engine]:
    """Engines for reading and for writing (one pool), with all tables there.

    Args:
        workspace: Folder of the SQLite file; made if needed.
        url: Any SQLAlchemy URL in place of that file.

    Raises:
        StoreError: It cannot be opened, with the reason.
    """
    with telling(workspace):
        workspace.mkdir(parents=True, exist_ok=True)
    place = URL.create("sqlite", database=str(workspace / "autoq.db")) if url is None else _parsed(url)
    try:
        engine = create_engine(place)
    except (NoSuchModuleError, ImportError) as error:
        raise StoreError(
            f"there is no driver for this database: {error}",
            where=place.render_as_string(),
            hint="install the driver the URL names, e.g. pip install psycopg for postgresql+psycopg",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    writer = engine.execution_options(**{_WRITES: True})
    try:
        # One at a time: changing the journal mode and the tables cannot be done by two processes at once.
        with file_lock(workspace / "autoq.lock", wait=True), writer.begin() as connection:
            _migrate(connection, place)
    except SQLAlchemyError as error:
        engine.dispose()
        raise of_database_error(error, place.render_as_string()) from error
    except StoreError:
        engine.dispose()
        raise
    return engine, writer


def migrations() -> Config:
    """Alembic's view of the migrations that ship with the package."""
    config = Config()
    # Alembic interpolates its options: a percent sign in the path must be doubled.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise StoreError(f"'{url}' is not a database URL", hint="e.g. postgresql+psycopg://host/name") from error


def _migrate(connection: Connection, place: URL) -> None:
    config = migrations()
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {s.revision for s in scripts.walk_revisions()}:
        raise StoreError(
            f"this store was written by a newer autoq (schema {current})",
            where=place.render_as_string(),
            hint="upgrade autoq, or choose another workspace",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _tune_sqlite(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: one that reads first and then finds the file changed would fail unwaited.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
