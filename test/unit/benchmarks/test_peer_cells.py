"""Results of the comparison: kept one by one, never measured twice, told in one table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import cells, table
from benchmarks.peers.cells import Cell, CellResult, Judged

_CELL = Cell("minilm", 0.05, "inc-basic")
_JUDGED = Judged(0.71, 0.73, 0.027, 0.70, 0.72, 0.028, True, 0.43, 0.42, 0.44, 23.1)
_RESULT = CellResult(
    _CELL, "finished", True, "model", 12.0, 1.5, 600.0, 2, 494, 700, _JUDGED, "", {"versions": {"onnx": "1.16.2"}}
)


def _row(result: CellResult) -> list[str]:
    return [cell.strip() for cell in table.markdown([result]).splitlines()[-1].strip("|").split("|")]


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    assert cells.load(cells.save(_RESULT, tmp_path)) == _RESULT


def test_a_cell_with_a_result_is_not_run_again(tmp_path: Path) -> None:
    other = Cell("minilm", 0.01, "inc-basic")
    cells.save(_RESULT, tmp_path)
    assert cells.pending([_CELL, other], again=False, results=tmp_path) == [other]


def test_again_runs_it_all_the_same(tmp_path: Path) -> None:
    cells.save(_RESULT, tmp_path)
    assert cells.pending([_CELL], again=True, results=tmp_path) == [_CELL]


def test_half_a_file_is_no_result(tmp_path: Path) -> None:
    cells.path_of(_CELL, tmp_path).with_suffix(".part").write_text("{")
    assert cells.load_all(tmp_path) == []
    assert cells.pending([_CELL], again=False, results=tmp_path) == [_CELL]


def test_a_row_tells_the_tools_word_and_the_judges() -> None:
    assert _row(_RESULT)[:9] == [
        "5 %",
        "INC, basic",
        "accepted, kept",
        "2.7 %",
        "2.8 %",
        "0.43 [0.42, 0.44]",
        "12",
        "12",
        "8.0",
    ]


def test_an_accepted_model_that_loses_too_much_is_told() -> None:
    assert _row(replace(_RESULT, judged=replace(_JUDGED, keeps=False)))[2] == "accepted, broken"


def test_an_attempt_is_never_shown_as_accepted() -> None:
    assert _row(replace(_RESULT, status="out of time", accepted=False, answer="attempt"))[2] == (
        "attempt, kept: out of time"
    )


def test_a_failed_cell_has_a_row() -> None:
    failed = replace(_RESULT, status="failed", answer="nothing", judged=None, fp32_seconds=float("nan"))
    assert _row(failed)[2:8] == ["nothing: failed", "–", "–", "–", "12", "–"]


def test_rows_stand_in_the_order_of_limits_and_tools() -> None:
    tools = ("nncf-openvino", "inc-basic", "autoq")
    found = [replace(_RESULT, cell=Cell("minilm", limit, tool)) for limit in (0.01, 0.05) for tool in tools]
    rows = [line.split("|")[1:3] for line in table.markdown(found).splitlines() if line.startswith(("| 5 %", "| 1 %"))]
    assert [f"{limit.strip()} {tool.strip()}" for limit, tool in rows] == [
        f"{limit} {tool}" for limit in ("5 %", "1 %") for tool in ("**autoq**", "INC, basic", "NNCF, OpenVINO")
    ]


@pytest.mark.parametrize("before", ["# Benchmarks\n\nText.\n", "# Benchmarks\n"])
def test_the_section_is_added_once_and_replaced_after(tmp_path: Path, before: str) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(before, encoding="utf-8")
    table.write_section([_RESULT], page)
    once = page.read_text(encoding="utf-8")
    table.write_section([_RESULT], page)
    assert page.read_text(encoding="utf-8") == once
    assert once.startswith(before)
    assert once.count(table.BEGIN) == once.count(table.END) == 1


def test_what_stands_around_the_section_stays(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Above\n\n{table.BEGIN}\nold\n{table.END}\n\n## Below\n", encoding="utf-8")
    table.write_section([_RESULT], page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Above\n")
    assert text.endswith("\n## Below\n")
    assert "old" not in text
