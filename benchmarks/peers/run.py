"""Runs cells: a driver per cell in its tool's environment, on one core, then the judge."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoq.tuning.environment import describe_environment
from benchmarks.peers import cells
from benchmarks.peers.cells import Cell, CellResult
from benchmarks.peers.drivers.session import OUTCOME
from benchmarks.peers.judge import judge
from benchmarks.peers.problem import PeerError
from benchmarks.peers.tasks import task_folder
from benchmarks.peers.tools import TOOLS, Tool
from benchmarks.peers.virtualenvs import REPOSITORY

_SCRATCH = REPOSITORY / ".cache" / "autoq-peers" / "cells"
_LOG = "driver.log"
_GRACE = 180.0
"""Seconds beyond the time limit until a driver that does not end by itself is ended."""


def run(wanted: Iterable[Cell], timeout: float, *, again: bool = False) -> None:
    """Run the cells that have no result yet, one after the other; each result is written as soon as it is there.

    Args:
        wanted: The cells.
        timeout: Seconds each search may take.
        again: Run also those that have a result.

    Raises:
        PeerError: Environments could not be made; the cells of all others are done by then.
        AssetError: Data of a task could not be fetched.
    """
    missing: dict[str, str] = {}
    todo = _with_environment(cells.pending(wanted, again), missing)
    for number, cell in enumerate(todo, start=1):
        # Before the core is pinned: installing and training may use all of them.
        python, folder = TOOLS[cell.tool].environment.interpreter(), task_folder(cell.task)
        print(f"[peers] {number}/{len(todo)} {cell.name} ...", file=sys.stderr, flush=True)
        with _one_core():
            result = run_cell(cell, python, folder, timeout)
        cells.save(result)
        print(f"[peers] {number}/{len(todo)} {cell.name}: {_summary(result)}", file=sys.stderr, flush=True)
    if missing:
        raise PeerError("\n".join(["some tools were left out", *missing.values()]))


def _with_environment(wanted: Iterable[Cell], missing: dict[str, str]) -> list[Cell]:
    """The cells whose tool can run here; why the others cannot is noted by environment."""
    found = []
    for cell in wanted:
        environment = TOOLS[cell.tool].environment
        if environment.name not in missing:
            try:
                environment.interpreter()
            except PeerError as error:
                missing[environment.name] = str(error)
                print(f"[peers] {error}", file=sys.stderr, flush=True)
            else:
                found.append(cell)
    return found


def run_cell(cell: Cell, python: Path, folder: Path, timeout: float) -> CellResult:
    """Run one cell now."""
    tool = TOOLS[cell.tool]
    out = _SCRATCH / cell.name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [
        *(str(python), "-m", f"benchmarks.peers.drivers.{tool.driver}", tool.argument),
        *("--task", str(folder), "--limit", str(cell.limit), "--timeout", str(timeout), "--out", str(out)),
    ]
    ended = _drive(command, out, timeout)
    outcome = _outcome(out, ended)
    model, answer = _answer(tool, out, outcome)
    judged = None if answer == "nothing" else judge(folder, cell.limit, model, tool.runtime)
    environment = {
        "versions": outcome["versions"],
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(describe_environment(1)),
    }
    return CellResult(
        cell,
        outcome["status"],
        outcome["accepted"],
        answer,
        outcome["seconds"],
        outcome["fp32_seconds"],
        timeout,
        outcome["evaluations"],
        outcome["samples"],
        outcome["peak_rss_mb"],
        judged,
        outcome["notes"],
        environment,
        outcome.get("accepted_after"),
    )


@contextmanager
def _one_core() -> Iterator[None]:
    """This process and what it starts, on one core: the same one thread for every tool and for the judge."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _drive(command: list[str], out: Path, timeout: float) -> str:
    """Run a driver to its end; returns why it ended: ``""``, ``killed``, or the last line it wrote."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    log = out / _LOG
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=out,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout + _GRACE)
        except subprocess.TimeoutExpired:
            return "killed"
        finally:
            # The group as well: a tool may have started processes of its own.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code == 0:
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"


def _outcome(out: Path, ended: str) -> dict[str, Any]:
    """What the driver wrote, corrected by how it ended."""
    path = out / OUTCOME
    if not path.exists():
        return {
            **{"status": "failed", "accepted": False, "model": None, "attempt": None, "versions": {}},
            **{"seconds": 0.0, "fp32_seconds": float("nan"), "evaluations": 0, "samples": 0, "peak_rss_mb": 0},
            "notes": ended,
        }
    outcome: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if outcome["status"] != "running":
        return outcome
    if ended == "killed":
        return {**outcome, "status": "out of time", "notes": "ended by the comparison"}
    return {**outcome, "status": "failed", "notes": ended}


def _answer(tool: Tool, out: Path, outcome: Mapping[str, Any]) -> tuple[Path | None, str]:
    """The model to judge, and what it is."""
    if outcome["model"]:
        return out / outcome["model"], "model"
    if tool.driver == "autoq_fit" and outcome["status"] == "finished":
        return None, "fp32"
    if outcome["attempt"]:
        return out / outcome["attempt"], "attempt"
    intermediate = sorted(out.glob("intermediate_model.*"))
    if intermediate:
        return next(p for p in intermediate if p.suffix in (".onnx", ".xml")), "attempt"
    return None, "nothing"


def _summary(result: CellResult) -> str:
    judged = result.judged
    time = f"{result.seconds:.0f} s = {result.in_evaluations:.1f} evaluations"
    text = f"{result.status}, accepted {result.accepted}, {time}"
    if judged is None:
        return f"{text}; {result.notes}"
    losses = f"loss {judged.tune_loss:.4f} / {judged.held_out_loss:.4f}"
    return f"{text}; {result.answer}: {losses}, {judged.latency:.3f} × fp32"
