from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import common


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_table("Speed", [{"model": "a", "ratio": 0.51234}, {"model": "longer", "ratio": None}])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Speed",
        "model   ratio",
        "------  ------",
        "a       0.5123",
        "longer  –",
    ]


def test_results_name_machine_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    document = json.loads(common.write_results("speed", [{"ratio": 0.5}]).read_text())
    assert document["rows"] == [{"ratio": 0.5}]
    assert {"processor", "python", "numpy"} <= set(document["environment"])
