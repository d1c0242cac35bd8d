"""Trials in one persistent child process: a native crash, a memory hog or a hang costs one trial, not the job."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from autoq.core.errors import RunnerError
from autoq.core.runner import ProgressListener
from autoq.core.task import Description, Evaluate, Outcome, Progress, Task
from autoq.core.trial import Failure, FailureKind
from autoq.store.failures import telling
from autoq.tuning.wire import PROTOCOL, Cancel, Channel, Hello, Message, Open, Opened, Raised, Submit

_POLL = 0.1
_START_TIMEOUT = 120.0
_EXIT_TIMEOUT = 10.0


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C must not reach a child in the moment before it has a session of its own; it inherits the mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Child:
    """One child process, its channel, and a thread that reads from it."""

    def __init__(self, log: Path) -> None:
        with telling(log):
            log.parent.mkdir(parents=True, exist_ok=True)
        to_child, from_parent = os.pipe()
        to_parent, from_child = os.pipe()
        with telling(log), log.open("ab") as output, _without_interrupts():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "autoq.tuning.worker", str(to_child), str(from_child)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(to_child, from_child),
                start_new_session=True,
            )
        os.close(to_child)
        os.close(from_child)
        self.channel = Channel(
            os.fdopen(to_parent, "r", encoding="utf-8"), os.fdopen(from_parent, "w", encoding="utf-8")
        )
        self.inbox: queue.SimpleQueue[Message | RunnerError | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True, name="autoq-child-reader").start()

    def _read(self) -> None:
        message: Message | RunnerError | None
        while True:
            try:
                message = self.channel.receive()
            except (OSError, ValueError):
                message = None
            except RunnerError as error:
                message = error
            self.inbox.put(message)
            if message is None:
                return

    def memory(self) -> int:
        """Resident bytes of the child."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0  # it just ended; its reader says how

    def kill(self) -> None:
        """End it, now, and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.channel.close()

    def death(self) -> str:
        """How it ended, in words."""
        try:
            code = self.process.wait(timeout=_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the child process closed its channel and was ended"
        if code < 0:
            return f"the child process was killed by {signal.Signals(-code).name}"
        return f"the child process ended with exit code {code}"


class SubprocessRunner:
    """Runs tasks in a child; kills and replaces it when it crashes, takes too long or too much memory.

    Args:
        job: The job in its JSON form.
        log: File that gets what the child and its libraries print.
        memory_limit: Resident bytes the child may use.
        trial_timeout: Seconds the evaluation of one plan may take; fp32 and calibration take what they need.
    """

    def __init__(
        self,
        job: dict[str, Any],
        log: Path,
        *,
        memory_limit: int | None = None,
        trial_timeout: float | None = None,
    ) -> None:
        self._job = job
        self._log = log
        self._memory_limit = memory_limit
        self._trial_timeout = trial_timeout
        self._child: _Child | None = None
        self._listener: ProgressListener = lambda _: None
        self._queue: list[tuple[int, Task]] = []
        self._started: float | None = None
        self._next_check = 0.0
        self._count = 0
        self._lock = threading.RLock()

    def open(self, progress: ProgressListener) -> Description:
        """Start the child and load the job in it."""
        self._listener = progress
        return self._open_child()

    def submit(self, task: Task) -> int:
        """Queue a task; a child that died is replaced first."""
        with self._lock:
            self._count += 1
            self._queue.append((self._count, task))
            return self._count

    def collect(self, timeout: float | None = None) -> Outcome | None:
        """Wait for the oldest task's answer; a child that died is one failed task."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._queue:
            child = self._ensure_sent()
            failure = self._limit_broken(child)
            if failure is not None:
                child.kill()
                self._child = None
                return self._answer(failure)
            try:
                message = child.inbox.get(timeout=_POLL)
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    return None
                continue
            match message:
                case Outcome():
                    with self._lock:
                        if self._queue and message.task_id == self._queue[0][0]:
                            self._queue.pop(0)
                            self._started = None
                            return message
                    # Else it answers a task that was cancelled meanwhile.
                case Progress():
                    self._listener(message)
                case Raised():
                    with self._lock:
                        self._queue.clear()
                    self._started = None
                    raise message.to_error()
                case RunnerError():
                    raise message
                case None:
                    self._child = None
                    reason = child.death()
                    child.channel.close()
                    return self._answer(Failure(FailureKind.CRASH, f"{reason}; its last output is in {self._log}"))
                case _:
                    raise RunnerError(f"the child process answered with an unexpected {type(message).__name__}")
        return None

    def cancel(self) -> None:
        """Abandon what runs and what is queued."""
        with self._lock:
            self._queue.clear()
            self._started = None
            if self._child is not None:
                try:
                    self._child.channel.send(Cancel())
                except OSError:
                    self._child = None  # already gone; the next task starts another

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._queue.clear()
            if self._child is not None:
                self._child.kill()
                self._child = None

    def _answer(self, failure: Failure) -> Outcome | None:
        self._started = None
        with self._lock:
            if not self._queue:
                return None
            task_id, _ = self._queue.pop(0)
        return Outcome(task_id, failure)

    def _ensure_sent(self) -> _Child:
        while (child := self._child) is None:  # another thread's `cancel` may find the new one dead
            self._open_child()
        with self._lock:
            if self._started is None and self._queue:
                task_id, task = self._queue[0]
                self._started = time.monotonic()
                # When it is dead already, its reader reports that next, as this task's failure.
                with contextlib.suppress(OSError):
                    child.channel.send(Submit(task_id, task))
        return child

    def _tries_a_plan(self) -> bool:
        with self._lock:
            task = self._queue[0][1] if self._queue else None
        return isinstance(task, Evaluate) and not task.plan.is_baseline

    def _limit_broken(self, child: _Child) -> Failure | None:
        now = time.monotonic()
        if now < self._next_check:
            return None
        self._next_check = now + _POLL
        if self._memory_limit is not None and (used := child.memory()) > self._memory_limit:
            return Failure(
                FailureKind.MEMORY,
                f"used {used / 1e6:.0f} MB, more than the limit of {self._memory_limit / 1e6:.0f} MB",
            )
        started, limit = self._started, self._trial_timeout
        if limit is not None and started is not None and now - started > limit and self._tries_a_plan():
            return Failure(FailureKind.TIMEOUT, f"took longer than {limit:g} s")
        return None

    def _open_child(self) -> Description:
        child = self._child = _Child(self._log)
        hello = self._await(child, time.monotonic() + _START_TIMEOUT)
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
            child.kill()
            self._child = None
            theirs = f"{hello.version} (protocol {hello.protocol})" if isinstance(hello, Hello) else "no greeting"
            raise RunnerError(
                f"the child process speaks another protocol: {theirs}, "
                f"here autoq {metadata.version('autoq')} (protocol {PROTOCOL})"
            )
        child.channel.send(Open(self._job))
        while True:
            message = self._await(child, None)
            if isinstance(message, Opened):
                return message.description
            if isinstance(message, Progress):
                self._listener(message)
            elif isinstance(message, Raised):
                child.kill()
                self._child = None
                raise message.to_error()

    def _await(self, child: _Child, deadline: float | None) -> Message:
        while True:
            try:
                message = child.inbox.get(timeout=_POLL)
            except queue.Empty:
                failure = self._limit_broken(child)
                if failure is None and (deadline is None or time.monotonic() < deadline):
                    continue
                child.kill()
                self._child = None
                reason = failure.message if failure else f"it did not answer within {_START_TIMEOUT:g} s"
                raise RunnerError(f"the child process could not load the job: {reason}") from None
            if isinstance(message, RunnerError):
                raise message
            if message is None:
                self._child = None
                raise RunnerError(f"{child.death()} while it loaded the job", hint=f"its last output is in {self._log}")
            return message
