"""Peak memory of inference, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs
from autoq.core.errors import TrialError
from autoq.core.registry import make_adaptor
from autoq.evaluation.memory import peak_memory
from autoq.tuning.inputs_file import read_inputs, write_inputs

_RUNS = 3
_TIMEOUT = 600.0


def measure_memory(framework: str, folder: Path, inputs: Inputs, options: RunOptions) -> int:
    """Bytes that loading the model in `folder` and running it adds to a process that has the framework loaded.

    Raises:
        TrialError: The model could not be loaded or run there.
    """
    with tempfile.TemporaryDirectory(prefix="autoq-memory-") as scratch:
        data = Path(scratch) / "inputs.npz"
        write_inputs(inputs, data)
        request = {"framework": framework, "folder": str(folder), "inputs": str(data), "threads": options.threads}
        done = subprocess.run(
            [sys.executable, "-m", "autoq.tuning.memory", json.dumps(request)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrialError(f"memory could not be measured: {last}")
    return int(json.loads(done.stdout.strip().splitlines()[-1])["bytes"])


def _measure_here(request: dict[str, Any]) -> int:
    adaptor = make_adaptor(request["framework"])
    inputs = read_inputs(Path(request["inputs"]))
    with peak_memory() as peak:
        candidate = adaptor.load_artifact(Path(request["folder"]), RunOptions(request["threads"]))
        for _ in range(_RUNS):
            candidate.predict(inputs)
    return peak.bytes


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"bytes": _measure_here(json.loads(sys.argv[1]))}) + "\n")
