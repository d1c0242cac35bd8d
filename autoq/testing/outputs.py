"""Running candidates and comparing what comes out, here and in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autoq.core.adaptor import Model, RunOptions
from autoq.core.batch import Array, Inputs, Outputs
from autoq.core.registry import make_adaptor

OPTIONS = RunOptions(threads=1)
"""One thread, so that sums are added up in one order and outputs can be compared bit by bit."""

_IN_CHILD = "import sys; from autoq.testing.outputs import predict_saved; predict_saved(*sys.argv[1:])"


def assert_close(found: Outputs, want: Outputs, tolerance: float = 0.0) -> None:
    """Equal names, shapes, dtypes and numbers; `tolerance` is relative to the largest magnitude of each array."""
    assert forms(found) == forms(want)
    for name, array in want.items():
        if tolerance:
            slack = tolerance * float(np.abs(array).max(initial=0.0))
            np.testing.assert_allclose(found[name], array, rtol=0, atol=slack, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def forms(outputs: Outputs) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype by output name."""
    return {name: (array.shape, str(array.dtype)) for name, array in outputs.items()}


def named(inputs: Inputs, model: Model) -> dict[str, Array]:
    """A batch's arrays by input name."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    arrays = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    return {spec.name: array for spec, array in zip(model.inputs, arrays, strict=True)}


def renamed(inputs: Inputs, model: Model) -> dict[str, Array]:
    """The same arrays under names that the model does not have."""
    return {f"{name}_of_another_model": array for name, array in named(inputs, model).items()}


def predict_in_child(framework: str, artifact: Path, inputs: Mapping[str, Array], scratch: Path) -> dict[str, Array]:
    """Outputs of a saved model, loaded and run in a fresh process; files are exchanged in `scratch`."""
    asked, answered = scratch / "inputs.npz", scratch / "outputs.npz"
    _write(asked, inputs)
    child = subprocess.run(
        [sys.executable, "-c", _IN_CHILD, framework, str(artifact), str(asked), str(answered)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return _read(answered)


def predict_saved(framework: str, artifact: str, inputs: str, outputs: str) -> None:
    """What the fresh process does."""
    candidate = make_adaptor(framework).load_artifact(Path(artifact), OPTIONS)
    _write(Path(outputs), candidate.predict(_read(Path(inputs))))


def _write(path: Path, arrays: Mapping[str, Array]) -> None:
    # Names are data here: a tensor may be called like a parameter of savez.
    np.savez(path, np.array(list(arrays)), *arrays.values())


def _read(path: Path) -> dict[str, Array]:
    with np.load(path) as archive:
        names = [str(name) for name in archive["arr_0"]]
        return {name: archive[f"arr_{i}"] for i, name in enumerate(names, start=1)}
