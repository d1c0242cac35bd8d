"""Random small models: any plan loads, keeps shapes, stays close to fp32, and runs what it says and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from random_onnx import BATCH, RandomModel, random_model

from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.openvino.adaptor import OpenVinoAdaptor
from autoq.adaptors.openvino.candidate import OpenVinoCandidate
from autoq.adaptors.openvino.capabilities import offered
from autoq.adaptors.openvino.realized import OwnerIndex
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.errors import ModelError
from autoq.core.plan import FP32_PLAN, Plan

CHUNK = 10
CHUNKS = 6
ENOUGH = 10.0
"""Decibels. Real plans reach 20 to 50; a wrong axis, scale or zero point leaves about 0."""

EXACT = 80.0
"""Decibels between two runtimes in float32."""

ONE_THREAD = RunOptions(threads=1)

Outputs = list[dict[str, np.ndarray[Any, Any]]]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_plans_of_random_models(chunk: int, tmp_path: Path) -> None:
    quantizable = 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        folder = tmp_path / str(seed)
        folder.mkdir()
        quantizable += _check(seed, random_model(seed), folder)
    assert quantizable > CHUNK // 2


def _check(seed: int, given: RandomModel, folder: Path) -> bool:
    adaptor = OpenVinoAdaptor()
    try:
        model = adaptor.load(ModelSource(given.proto))
        table = adaptor.capabilities(model)
        batches = [Batch(feed, None, BATCH) for feed in given.feeds]
        calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    except ModelError as refused:
        reason = refused.message
    else:
        reason = None
    if reason is not None:
        # Whole graphs of ops without weights, old models with subgraphs that onnx cannot convert, and control flow that
        # OpenVINO runs wrongly.
        known = ("no op that can be quantized", "cannot be converted", "something else than ONNX Runtime")
        assert any(text in reason for text in known), reason
        return False
    expected = _outputs(adaptor.apply(model, FP32_PLAN, None, ONE_THREAD), given)
    _compare(_reference(given), expected, f"seed {seed}, fp32", EXACT)
    for name, plan in _plans(table, np.random.default_rng(seed)).items():
        where = f"seed {seed}, {name} plan"
        candidate = adaptor.apply(model, plan, calibration, ONE_THREAD)
        assert isinstance(candidate, OpenVinoCandidate)
        assert _int8_ops(candidate, model) <= set(plan), where
        assert set(candidate.realized) <= set(plan), where
        found = _outputs(candidate, given)
        if name != "random":  # which may hold kl, that clips these few values hard
            _compare(expected, found, where, ENOUGH)
        if name == "random":
            adaptor.save(candidate, folder)
            for path in (folder, folder / "model.xml"):
                loaded = _outputs(adaptor.load_artifact(path, ONE_THREAD), given)
                for one, other in zip(found, loaded, strict=True):
                    assert all(np.array_equal(one[k], other[k]) for k in one), where
        candidate.close()
    return True


def _plans(table: CapabilityTable, random: np.random.Generator) -> dict[str, Plan]:
    rows = [row for row in table if len(row.precisions) > 1]
    one = rows[int(random.integers(len(rows)))]
    return {
        "full": Plan({r.op.id: r.precisions[0] for r in rows}),
        "signed": Plan({r.op.id: next(p for p in r.precisions if "s8" in p.label and "sym" in p.label) for r in rows}),
        "random": Plan({r.op.id: r.precisions[int(random.integers(len(r.precisions)))] for r in rows}),
        "one op": Plan({one.op.id: one.precisions[0]}),
    }


def _outputs(candidate: Any, given: RandomModel) -> Outputs:
    return [dict(candidate.predict(feed)) for feed in given.feeds]


def _reference(given: RandomModel) -> Outputs:
    session = ort.InferenceSession(given.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return [dict(zip(names, session.run(names, dict(feed)), strict=True)) for feed in given.feeds]


def _int8_ops(candidate: OpenVinoCandidate, model: OnnxModel) -> set[str]:
    """Ops whose own work is done by an 8-bit kernel, asked for or not."""
    index = OwnerIndex(offered(model.fusion))
    firsts = (index.first(node) for node in candidate.executed if node.is_int8)
    return {op.id for op in firsts if op is not None}


def _compare(expected: Outputs, found: Outputs, where: str, enough: float) -> None:
    assert [list(f) for f in found] == [list(e) for e in expected], where
    for name in expected[0]:
        assert [e[name].shape for e in expected] == [f[name].shape for f in found], where
        want = np.concatenate([e[name].reshape(-1) for e in expected]).astype(np.float64)
        have = np.concatenate([f[name].reshape(-1) for f in found]).astype(np.float64)
        assert np.isfinite(have).all(), where
        noise = float(np.square(want - have).sum())
        if np.abs(want).max(initial=0.0) > 1e-5 and noise > 0:
            decibels = 10 * np.log10(np.square(want).sum() / noise)
            assert decibels > enough, f"{where}, output {name}: {decibels:.1f} dB"
