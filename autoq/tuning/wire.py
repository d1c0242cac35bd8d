"""Typed messages between the tuner and its child: one JSON object a line, on a channel of their own."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from typing import IO, Any

from autoq.core import errors
from autoq.core.errors import AutoqError, RunnerError
from autoq.core.task import (
    Answer,
    Description,
    Outcome,
    Progress,
    Task,
    answer_from_json,
    answer_to_json,
    description_from_json,
    description_to_json,
    task_from_json,
    task_to_json,
)

PROTOCOL = 1
"""Both sides must speak the same version; raised with every incompatible change."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of either side."""

    protocol: int
    version: str


@dataclass(frozen=True)
class Open:
    """Load this job; `job` is its JSON form."""

    job: dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """The job is loaded."""

    description: Description


@dataclass(frozen=True)
class Submit:
    """Do this task."""

    task_id: int
    task: Task


@dataclass(frozen=True, slots=True)
class Cancel:
    """Abandon what runs and what is queued."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An error of the user's making, to be raised on the other side as what it is."""

    error: str
    message: str
    where: str | None
    hint: str | None

    @classmethod
    def of(cls, error: AutoqError) -> Raised:
        """The message of an error; a class that only one module knows travels as the public one it derives from."""
        public = next(c for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
        return cls(public.__name__, error.message, error.where, error.hint)

    def to_error(self) -> AutoqError:
        """The error itself."""
        kind = getattr(errors, self.error, AutoqError)
        found: AutoqError = kind(self.message, where=self.where, hint=self.hint)
        return found


Message = Hello | Open | Opened | Submit | Cancel | Raised | Progress | Outcome


def encode(message: Message) -> str:
    """One line of JSON, without the line end."""
    body: dict[str, Any]
    match message:
        case Open():
            body = {"job": message.job}
        case Opened():
            body = {"description": description_to_json(message.description)}
        case Submit():
            body = {"task_id": message.task_id, "task": task_to_json(message.task)}
        case Outcome():
            body = {"task_id": message.task_id, "answer": answer_to_json(message.answer)}
        case _:
            body = asdict(message)
    return json.dumps({"kind": type(message).__name__, **body}, separators=(",", ":"))


def decode(line: str) -> Message:
    """Rebuild from `encode`.

    Raises:
        RunnerError: The line is none of ours.
    """
    try:
        body = json.loads(line)
        kind = body.pop("kind")
        match kind:
            case "Hello":
                return Hello(**body)
            case "Open":
                return Open(**body)
            case "Opened":
                return Opened(description_from_json(body["description"]))
            case "Submit":
                return Submit(body["task_id"], task_from_json(body["task"]))
            case "Outcome":
                answer: Answer = answer_from_json(body["answer"])
                return Outcome(body["task_id"], answer)
            case "Cancel":
                return Cancel()
            case "Raised":
                return Raised(**body)
            case "Progress":
                return Progress(**body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunnerError(f"a message between tuner and child cannot be read: {error}") from error
    raise RunnerError(f"a message between tuner and child has the unknown kind {kind!r}")


class Channel:
    """Writes and reads messages on a pair of text streams; writing is safe from several threads."""

    def __init__(self, reader: IO[str], writer: IO[str]) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message.

        Raises:
            OSError: The other side is gone.
        """
        line = encode(message) + "\n"
        with self._lock:
            if self._writer.closed:
                raise BrokenPipeError("the channel is closed")
            self._writer.write(line)
            self._writer.flush()

    def receive(self) -> Message | None:
        """The next message, or None when the other side is gone."""
        line = self._reader.readline()
        return decode(line) if line.endswith("\n") else None

    def close(self) -> None:
        """Close both streams."""
        for stream in (self._writer, self._reader):
            try:
                stream.close()
            except OSError:
                continue  # a broken pipe on flush: the other side is gone, which is what closing means
