"""Benchmarks of TensorFlow: rows that a partial run keeps, and what they compare."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import common, tensorflow_accuracy, tensorflow_latency
from benchmarks.common import kept_rows


def test_a_partial_run_keeps_the_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    rows = [{"model": "resnet18"}, {"model": "mobilenet_v2"}]
    (tmp_path / "some.json").write_text(json.dumps({"rows": rows}))
    assert kept_rows("some", lambda row: row["model"] != "resnet18") == [{"model": "mobilenet_v2"}]


def test_a_first_run_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    assert kept_rows("some", lambda _: True) == []


def test_the_output_error_is_relative_to_fp32() -> None:
    assert tensorflow_accuracy.relative_error(np.array([3.0, 4.4]), np.array([3.0, 4.0])) == pytest.approx(0.08)


def test_rows_say_how_many_times_as_fast_as_fp32() -> None:
    calls = {"fp32": lambda: sum(range(40_000)), "half": lambda: sum(range(20_000))}
    rows = {str(row["what"]): row for row in tensorflow_latency.timed({"batch": 1}, calls, {"half": 0.1}, 1.0)}
    assert rows["fp32"]["× fp32"] == 1
    assert float(str(rows["half"]["low"])) <= float(str(rows["half"]["× fp32"])) <= float(str(rows["half"]["high"]))
    assert (rows["half"]["output error"], rows["fp32"]["output error"]) == (0.1, None)
