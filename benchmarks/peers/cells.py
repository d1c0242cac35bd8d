"""One cell of the comparison: a tool on a task at a limit; one JSON file each, so that nothing is measured twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results" / "peers"


@dataclass(frozen=True)
class Cell:
    """What is run: names of task and tool, and the largest loss allowed."""

    task: str
    limit: float
    tool: str

    @property
    def name(self) -> str:
        """``task@limit@tool``, also the name of its file."""
        return f"{self.task}@{self.limit:g}@{self.tool}"


@dataclass(frozen=True)
class Judged:
    """What the model is worth, by one judge for all, in the runtime it is for.

    Attributes:
        tune: Its score on the samples the search saw.
        tune_fp32: fp32's.
        tune_loss: The loss, in the unit of the limit.
        held_out: Its score on samples the search never saw.
        held_out_fp32: fp32's.
        held_out_loss: The loss there.
        keeps: Whether `tune_loss` is within the limit.
        latency: Median ratio to fp32, interleaved, one thread.
        low: Lower end of its interval.
        high: Upper end.
        size_mb: Megabytes on disk.
    """

    tune: float
    tune_fp32: float
    tune_loss: float
    held_out: float
    held_out_fp32: float
    held_out_loss: float
    keeps: bool
    latency: float
    low: float
    high: float
    size_mb: float


@dataclass(frozen=True)
class CellResult:
    """What came of a cell.

    Attributes:
        cell: What was run.
        status: ``finished``, ``out of time`` or ``failed``.
        accepted: Whether the tool says its model keeps the limit; None where it makes no such promise.
        answer: What is judged: its ``model``, its best ``attempt`` (never handed over), ``fp32``, or ``nothing``.
        seconds: Wall time of the search, without imports.
        fp32_seconds: One full fp32 evaluation just before, in the same process.
        timeout: Seconds it was given.
        evaluations: Evaluations of any size, fp32's included.
        samples: Samples scored in them.
        peak_rss_mb: Peak resident memory of the process and its children.
        judged: What the answer is worth; None where there is nothing to judge.
        notes: What the tool said, or why it failed.
        environment: Versions, machine, time, command.
        accepted_after: Seconds until there was an accepted model, where a tool goes on afterwards; else None.
    """

    cell: Cell
    status: str
    accepted: bool | None
    answer: str
    seconds: float
    fp32_seconds: float
    timeout: float
    evaluations: int
    samples: int
    peak_rss_mb: int
    judged: Judged | None
    notes: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    accepted_after: float | None = None

    @property
    def in_evaluations(self) -> float:
        """Wall time in full fp32 evaluations."""
        return self.seconds / self.fp32_seconds


def path_of(cell: Cell, results: Path = RESULTS) -> Path:
    """Where a cell's result lies."""
    return results / f"{cell.name}.json"


def save(result: CellResult, results: Path = RESULTS) -> Path:
    """Write a result in one step: a file that is there is whole."""
    results.mkdir(parents=True, exist_ok=True)
    path = path_of(result.cell, results)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    scratch.replace(path)
    return path


def load(path: Path) -> CellResult:
    """The inverse of `save`."""
    body = json.loads(path.read_text(encoding="utf-8"))
    judged = None if body["judged"] is None else Judged(**body["judged"])
    return CellResult(**{**body, "cell": Cell(**body["cell"]), "judged": judged})


def load_all(results: Path = RESULTS) -> list[CellResult]:
    """Every result there is, by name."""
    return [load(path) for path in sorted(results.glob("*.json"))]


def pending(cells: Iterable[Cell], again: bool, results: Path = RESULTS) -> Sequence[Cell]:
    """The cells that have no result yet; all of them if they are to run again."""
    return [cell for cell in cells if again or not path_of(cell, results).exists()]
