"""Probing the capability table on this machine, and costs per op."""

from __future__ import annotations

from typing import Any

import pytest

from autoq.adaptors.openvino.adaptor import OpenVinoAdaptor
from autoq.core.adaptor import Probing
from autoq.core.errors import UnsupportedError
from autoq.core.plan import FP32_PLAN


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_every_probed_cell_runs_in_8_bits_and_is_remembered() -> None:
    adaptor, told = OpenVinoAdaptor(), list[str]()
    assert isinstance(adaptor, Probing)
    cells = adaptor.probe(told.append)
    assert all(cell.quantized and cell.cost is not None for cell in cells)
    assert adaptor.probed() == cells
    assert {cell.type for cell in cells} >= {"Conv", "ConvTranspose", "MatMul", "Gemm", "AveragePool"}
    assert told


def test_nothing_is_probed_before_the_first_probe() -> None:
    assert OpenVinoAdaptor().probed() == ()


def test_what_was_probed_stands_in_the_table(cnn: Any) -> None:
    cnn.adaptor.probe()
    row = cnn.adaptor.capabilities(cnn.model)["stem"]
    assert row.origin == "probed on this machine"
    assert all(cost is not None and cost > 0 for cost in row.costs)


def test_a_loaded_model_cannot_be_profiled_by_op(cnn: Any, tmp_path: Any) -> None:
    cnn.adaptor.save(cnn.apply(cnn.full_plan()), tmp_path)
    loaded = cnn.adaptor.load_artifact(tmp_path / "model.onnx", cnn.apply(FP32_PLAN).options)
    with pytest.raises(UnsupportedError, match="plan"):
        cnn.adaptor.profile(loaded, cnn.feeds[0])
