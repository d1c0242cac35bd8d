"""The child process: holds model, statistics and data, and does what the tuner asks.

Started as ``python -m autoq.tuning.worker READ_FD WRITE_FD``. Its standard output and error go to a log
file, so whatever a library prints cannot reach the channel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
import time
import traceback
from importlib import metadata

from autoq.core.errors import AutoqError
from autoq.core.task import Outcome, Progress
from autoq.tuning.in_process import InProcessRunner
from autoq.tuning.wire import PROTOCOL, Cancel, Channel, Hello, Open, Opened, Raised, Submit

_PR_SET_PDEATHSIG = 1
_INTERVAL = 0.1


def serve(channel: Channel) -> None:
    """Answer until the other side hangs up."""
    channel.send(Hello(PROTOCOL, metadata.version("autoq")))
    inbox: queue.SimpleQueue[Open | Submit | None] = queue.SimpleQueue()
    runner: InProcessRunner | None = None

    def read() -> None:
        while (message := channel.receive()) is not None:
            if isinstance(message, Cancel):
                with contextlib.suppress(queue.Empty):
                    while True:
                        inbox.get_nowait()
                if runner is not None:
                    runner.cancel()
            elif isinstance(message, Open | Submit):
                inbox.put(message)
        os._exit(0)  # the tuner is gone: nobody will read the answer of what still runs

    threading.Thread(target=read, daemon=True, name="autoq-channel").start()
    while True:
        message = inbox.get()
        try:
            if isinstance(message, Open):
                runner = _make_runner(message)
                channel.send(Opened(runner.open(_Throttle(channel))))
            elif isinstance(message, Submit) and runner is not None:
                runner.submit(message.task)
                outcome = runner.collect()
                if outcome is not None:
                    channel.send(Outcome(message.task_id, outcome.answer))
        except AutoqError as error:
            channel.send(Raised.of(error))


class _Throttle:
    """Passes on progress ten times a second at most, so that reporting costs nothing."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._phase = ""
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase != self._phase or progress.done in (0, progress.total) or now - self._last >= _INTERVAL:
            self._phase, self._last = progress.phase, now
            self._channel.send(progress)


def _make_runner(message: Open) -> InProcessRunner:
    from autoq.config.json_schema import job_from_json
    from autoq.tuning.assemble import workbench_of

    job = job_from_json(message.job)
    return InProcessRunner(lambda: workbench_of(job))


def main() -> None:
    """Entry point of the child."""
    if sys.platform == "linux":
        # Killed with the tuner even when the tuner is killed with -9 in the middle of native code here.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the tuner's to handle
    read_fd, write_fd = int(sys.argv[1]), int(sys.argv[2])
    channel = Channel(os.fdopen(read_fd, "r", encoding="utf-8"), os.fdopen(write_fd, "w", encoding="utf-8"))
    try:
        serve(channel)
    except BaseException:  # noqa: BLE001 - reported, and the process ends
        # Leave at once: closing the channel would wait for the thread that reads from it.
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
