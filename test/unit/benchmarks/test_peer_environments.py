"""A tool whose environment cannot be made is left out; the others run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers import run, virtualenvs
from benchmarks.peers.cells import Cell
from benchmarks.peers.problem import PeerError
from benchmarks.peers.virtualenvs import Environment


@pytest.fixture
def nothing_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(virtualenvs, "REPOSITORY", tmp_path)
    monkeypatch.delenv("AUTOQ_PYTHON310", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_environment_of_autoq_is_this_one() -> None:
    assert Environment("").interpreter() == Path(sys.executable)


@pytest.mark.usefixtures("nothing_made")
def test_a_missing_python_is_told_with_the_variable_to_set() -> None:
    with pytest.raises(PeerError, match=r"Python 3\.10.*AUTOQ_PYTHON310"):
        Environment("inc", "3.10", "AUTOQ_PYTHON310").interpreter()


@pytest.mark.usefixtures("nothing_made")
def test_other_tools_run_all_the_same() -> None:
    missing: dict[str, str] = {}
    wanted = [Cell("minilm", 0.01, tool) for tool in ("inc-basic", "autoq", "inc-mse_v2", "ort-static")]
    assert [cell.tool for cell in run._with_environment(wanted, missing)] == ["autoq", "ort-static"]
    assert list(missing) == ["inc"]


def test_other_requirements_are_another_folder(nothing_made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtualenvs, "_REQUIREMENTS", nothing_made)
    (nothing_made / "tool.txt").write_text("a==1\n")
    before = Environment("tool").folder
    (nothing_made / "tool.txt").write_text("a==2\n")
    assert Environment("tool").folder != before
