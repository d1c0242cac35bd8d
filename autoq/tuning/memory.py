"""Peak memory of inference, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autoq.core.adaptor import RunOptions
from autoq.core.batch import Inputs
from autoq.core.errors import TrialError

_RUNS = 3
_TIMEOUT = 600.0


def measure_memory(framework: str, folder: Path, inputs: Inputs, options: RunOptions) -> int:
    """Bytes that loading the model in `folder` and running it adds to a process that has the framework loaded.

    Raises:
        TrialError: The model could not be loaded or run there.
    """
    with tempfile.TemporaryDirectory(prefix="autoq-memory-") as scratch:
        data = Path(scratch) / "inputs.npz"
        arrays = _named(inputs)
        np.savez(data, **arrays)  # type: ignore[arg-type]
        request = {
            "framework": framework,
            "folder": str(folder),
            "inputs": str(data),
            "form": "mapping" if isinstance(inputs, Mapping) else "array" if isinstance(inputs, np.ndarray) else "list",
            "threads": options.threads,
        }
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


def _named(inputs: Inputs) -> dict[str, np.ndarray]:
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if isinstance(inputs, np.ndarray):
        return {"0": inputs}
    return {str(i): array for i, array in enumerate(inputs)}


def _measure_here(request: dict[str, str]) -> int:
    from autoq.core.registry import make_adaptor
    from autoq.evaluation.memory import peak_memory

    adaptor = make_adaptor(request["framework"])
    with np.load(request["inputs"], allow_pickle=False) as archive:
        named = {name: archive[name] for name in archive.files}
    inputs: Inputs = named
    if request["form"] == "array":
        inputs = named["0"]
    elif request["form"] == "list":
        inputs = [named[str(i)] for i in range(len(named))]
    threads = request["threads"]
    with peak_memory() as peak:
        candidate = adaptor.load_artifact(
            Path(request["folder"]), RunOptions(threads=int(threads) if threads else None)
        )
        for _ in range(_RUNS):
            candidate.predict(inputs)
    return peak.bytes


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"bytes": _measure_here(json.loads(sys.argv[1]))}) + "\n")
