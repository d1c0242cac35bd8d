"""What one PyTorch trial costs from statistics collected once, against calibrating it from scratch.

``python -m benchmarks.pytorch_trial_cost``: ResNet18 and MobileNetV2 (Fashion-MNIST) and MiniLM by each route, the
fully quantized plan and plans with ops in float. From scratch means the framework's own prepare, the same calibration
samples, and convert. Both must give equal outputs, bit by bit. The networks for pictures are measured on the 256 small
pictures of their jobs, and on 64 of these enlarged to the size of ImageNet's: calibrating from scratch grows with the
data, a trial does not.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoq.adaptors.pytorch.guard import guarded
from autoq.adaptors.pytorch.outputs import flatten
from autoq.config.loader import load_job
from autoq.core.adaptor import RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.plan import Plan
from autoq.core.precision import FP32, Observer
from autoq.tuning.assemble import setup_of
from benchmarks.common import Cell, print_table, write_results
from benchmarks.pytorch_routes import ROUTES
from examples.pytorch.prepare import prepare_example

# The tests' own implementations of calibrating from scratch.
sys.path.insert(0, str(Path(__file__).parents[1] / "test" / "support"))


CASES = (("resnet18", 1), ("resnet18", 7), ("mobilenet_v2", 1), ("mobilenet_v2", 6), ("minilm", 1))
ENLARGED_SAMPLES = 64


def plans(table: CapabilityTable) -> Iterator[Plan]:
    """Fully quantized by MinMax observers, and with every eighth op, from the first on, in float."""
    full = {}
    for row in table:
        usual = [p for p in row.precisions if p.activation is None or p.activation.observer is Observer.MINMAX]
        full[row.op.id] = usual[0]
    yield Plan(full)
    for op in table.ops[:: max(len(table) // 8, 1)]:
        yield Plan({**full, op.id: FP32})


def scratch_of(route: str, model: Any, adaptor: Any, batches: Sequence[Batch]) -> Callable[[Plan], Any]:
    """Calibrates a plan from scratch with the framework's own observers."""
    if route == "pytorch_eager":
        from eager_from_scratch import quantize_from_scratch

        return lambda plan: quantize_from_scratch(model, plan, batches)
    if route == "pytorch_fx":
        from fx_from_scratch import from_scratch

        return lambda plan: from_scratch(model, adaptor.graph(model), plan, batches)
    from pt2e import Loaded

    held = Loaded(model, adaptor.capabilities(model), tuple(batches), None)  # type: ignore[arg-type]
    return held.from_scratch


def equal(route: str, ours: Any, theirs: Any, model: Any, batch: Batch) -> bool:
    """Whether two quantized modules give the same outputs, bit by bit."""
    with guarded(1):
        if route == "pytorch_pt2e":
            tensors = model.torch.signature.tensors(batch.inputs)
            pairs = list(zip(ours(*tensors), theirs(*tensors), strict=True))
        else:
            args, kwargs = model.signature.bind(batch.inputs)
            found, wanted = flatten(ours(*args, **kwargs)), flatten(theirs(*args, **kwargs))
            pairs = [(found[name], wanted[name]) for name in wanted]
    return all(torch.equal(one, other) for one, other in pairs)


def enlarged(batches: Sequence[Batch], factor: int) -> list[Batch]:
    """The first 64 pictures, each pixel repeated."""
    pictures = np.concatenate([next(iter(b.inputs.values())) for b in batches])[:ENLARGED_SAMPLES]  # type: ignore[union-attr]
    large = pictures.repeat(factor, axis=2).repeat(factor, axis=3)
    name = next(iter(batches[0].inputs))
    return [Batch({name: large[i : i + 16]}, None, 16) for i in range(0, len(large), 16)]  # type: ignore[dict-item]


def measure(name: str, route: str, factor: int = 1) -> dict[str, Cell]:
    """One model by one route, on pictures enlarged by a factor."""
    job = load_job(prepare_example(name) / "job.yaml")
    job = job.model_copy(update={"model": job.model.model_copy(update={"framework": route})})
    setup = setup_of(job)
    adaptor, options = setup.adaptor, RunOptions(1)
    model = adaptor.load(setup.source)
    table = adaptor.capabilities(model)
    source = setup.open_data(model.inputs).calibration
    assert source is not None
    batches = list(source.batches(0, setup.sampling_size))
    if factor > 1:
        batches = enlarged(batches, factor)
        model = adaptor.load(replace(setup.source, example=lambda: batches[0].inputs))
        table = adaptor.capabilities(model)
    started = time.perf_counter()
    with guarded(1):
        calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    calibrated = time.perf_counter() - started
    scratch = scratch_of(route, model, adaptor, batches)
    trials, wholes, same = [], [], []
    for plan in plans(table):
        started = time.perf_counter()
        candidate = adaptor.apply(model, plan, calibration, options)
        trials.append(time.perf_counter() - started)
        started = time.perf_counter()
        with guarded(1):
            theirs = scratch(plan)
        wholes.append(time.perf_counter() - started)
        same.append(equal(route, getattr(candidate, "graph", candidate.native), theirs, model, batches[0]))
        candidate.close()
    ratios = np.array(trials) / np.array(wholes)
    return {
        "model": name,
        "pixels": next(iter(batches[0].inputs.values())).shape[-1] if name != "minilm" else None,  # type: ignore[union-attr]
        "route": route,
        "plans": len(trials),
        "bit-identical": f"{sum(same)} of {len(same)}",
        "calibration samples": calibration.samples,
        "calibrate once (s)": calibrated,
        "trial, median (s)": statistics.median(trials),
        "from scratch, median (s)": statistics.median(wholes),
        "trial / scratch, median": float(np.median(ratios)),
        "largest": float(ratios.max()),
    }


def main() -> None:
    """Measure and print."""
    rows = [measure(name, route, factor) for name, factor in CASES for route in ROUTES]
    print_table("Cost of a PyTorch trial: building a plan", rows)
    print(f"\n{write_results('pytorch_trial_cost', rows, threads=1)}")


if __name__ == "__main__":
    main()
