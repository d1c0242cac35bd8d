"""Runs a toy job in a process of its own: ``python run_toy_job.py JOB.json PIPE_FD``.

Writes a byte to the pipe when everything is imported, and one for every finished trial.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from autoq.config.json_schema import job_from_json
from autoq.run import job_digest, run_job
from autoq.store.repository import Store
from autoq.tuning.outcome import SilentListener


class Telling(SilentListener):
    """Writes a byte for every finished trial."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self.pipe = pipe

    def trial(self, trial) -> None:
        os.write(self.pipe, b".")


if __name__ == "__main__":
    job, pipe = job_from_json(json.loads(Path(sys.argv[1]).read_text())), int(sys.argv[2])
    os.write(pipe, b"!")
    with Store.open(job.resolve("workspace")) as store:
        known = store.latest_job(job_digest(job)) is not None
    run_job(job, Telling(pipe), resume=known)
