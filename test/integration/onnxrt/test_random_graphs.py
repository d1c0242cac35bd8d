"""Random small models: any plan builds, keeps shapes, stays close to fp32, and runs what it says and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from random_onnx import BATCH, RandomModel, random_model

from autoq.adaptors.onnxrt import adaptor as adaptors
from autoq.adaptors.onnxrt.candidate import OnnxCandidate
from autoq.adaptors.onnxrt.model import OnnxModel
from autoq.adaptors.onnxrt.realized import OwnerIndex
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.batch import Batch
from autoq.core.capability import CapabilityTable
from autoq.core.errors import ModelError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import Mode

CHUNK = 20
CHUNKS = 10
ENOUGH = 12.0
"""Decibels. Real plans reach 20 to 50; a wrong axis, scale or zero point leaves about 0."""

ONE_THREAD = RunOptions(threads=1)
_QUANTIZED = ("QLinear", "QGemm", "MatMulInteger", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")

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
    adaptor = (adaptors.qdq(), adaptors.qlinearops())[seed % 2]
    try:
        model = adaptor.load(ModelSource(given.proto))
        table = adaptor.capabilities(model)
    except ModelError as refused:
        reason = refused.message
    else:
        reason = None
    if reason is not None:
        # Whole graphs of ops without weights, and old models with subgraphs that onnx cannot convert.
        assert "no op that can be quantized" in reason or "cannot be converted" in reason
        return False
    batches = [Batch(feed, None, BATCH) for feed in given.feeds]
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    expected = _outputs(adaptor.apply(model, FP32_PLAN, None, ONE_THREAD), given)
    for name, plan in _plans(table, np.random.default_rng(seed)).items():
        where = f"seed {seed}, {name} plan"
        candidate = adaptor.apply(model, plan, calibration, ONE_THREAD)
        assert isinstance(candidate, OnnxCandidate)
        unasked = _quantized_ops(candidate, model) - set(plan)
        assert not unasked, where
        assert set(candidate.realized) <= set(plan), where
        found = _outputs(candidate, given)
        if name != "random":  # which may hold kl, that clips these few values hard
            _compare(expected, found, where)
        if name != "one op":
            saved = folder / name
            saved.mkdir()
            adaptor.save(candidate, saved)
            loaded = adaptor.load_artifact(saved, ONE_THREAD)
            assert loaded.realized == candidate.realized, where
            for one, other in zip(found, _outputs(loaded, given), strict=True):
                assert all(np.array_equal(one[k], other[k]) for k in one), where
        candidate.close()
    return True


def _plans(table: CapabilityTable, random: np.random.Generator) -> dict[str, Plan]:
    rows = [row for row in table if len(row.precisions) > 1]
    static = {r.op.id: next((p for p in r.precisions if p.mode is Mode.STATIC), r.precisions[-1]) for r in rows}
    one = rows[int(random.integers(len(rows)))]
    return {
        "full": Plan({r.op.id: r.precisions[0] for r in rows}),
        "static": Plan(static),
        "random": Plan({r.op.id: r.precisions[int(random.integers(len(r.precisions)))] for r in rows}),
        "one op": Plan({one.op.id: one.precisions[0]}),
    }


def _outputs(candidate: Any, given: RandomModel) -> Outputs:
    return [dict(candidate.predict(feed)) for feed in given.feeds]


def _quantized_ops(candidate: OnnxCandidate, model: OnnxModel) -> set[str]:
    """Ops for which ONNX Runtime runs an 8-bit kernel, asked for or not."""
    if candidate._scratch is None:
        return set()  # the plan is fp32: the model as it was given
    optimized = onnx.load(candidate._scratch / "optimized.onnx", load_external_data=False)
    index = OwnerIndex(model.fusion)
    owners = (index.of(node) for node in optimized.graph.node if node.op_type.startswith(_QUANTIZED))
    return {op.id for op in owners if op is not None}


def _compare(expected: Outputs, found: Outputs, where: str) -> None:
    for name in expected[0]:
        assert [e[name].shape for e in expected] == [f[name].shape for f in found], where
        want = np.concatenate([e[name].reshape(-1) for e in expected]).astype(np.float64)
        have = np.concatenate([f[name].reshape(-1) for f in found]).astype(np.float64)
        assert np.isfinite(have).all(), where
        noise = float(np.square(want - have).sum())
        if np.abs(want).max(initial=0.0) > 1e-5 and noise > 0:
            assert 10 * np.log10(np.square(want).sum() / noise) > ENOUGH, f"{where}, output {name}"
