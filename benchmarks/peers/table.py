"""The results as Markdown, and their place in docs/benchmarks.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.peers.cells import CellResult
from benchmarks.peers.tasks import TASKS
from benchmarks.peers.tools import TOOLS
from benchmarks.peers.virtualenvs import REPOSITORY

PAGE = REPOSITORY / "docs" / "benchmarks.md"
BEGIN = "<!-- peers: written by `python -m benchmarks.peers table --write` -->"
END = "<!-- end of peers -->"

_COLUMNS = (
    "limit",
    "tool",
    "its answer",
    "loss, tune",
    "loss, held out",
    "latency / fp32",
    "seconds",
    "to an accepted model",
    "fp32 evaluations",
    "evaluations",
    "samples",
    "peak MB",
)

_LEGEND = """\
Each tool in an environment of its own, with pinned versions (`benchmarks/peers/environments/`); the same model files,
samples, metric, limit, batch size and core. `make peers` makes the environments and runs what has no result yet, one
cell after the other; it may be stopped at any time. Intel Neural Compressor (INC) 2.6 needs Python 3.10: `python3.10`
on the path, or its interpreter in `AUTOQ_PYTHON310`. Some cells:
`python -m benchmarks.peers run --task minilm --limit 0.01 --peer autoq inc-basic`.

- **Its answer**: *accepted* and *not accepted* are the tool's own words; *kept* and *broken* are the judge's, who
  scores every model again in the runtime it is for: ONNX Runtime, or OpenVINO where the tool's name says so. An
  *attempt* is the best model that a search had scored when its time was up: the tool hands over nothing, and the user
  keeps fp32.
- **Loss**: relative to fp32, in points for PP-OCR; negative is a gain. *Held out*: on samples no search saw.
- **Latency**: at the task's batch size, one thread, interleaved with fp32 in the same runtime; 95 % interval.
- **Seconds**: the whole search, without imports and without loading data; autoq's also count its finalists, held-out
  verdict, memory, saving and report. **To an accepted model**: the same clock when the first accepted model was there;
  only autoq goes on from there, to faster ones. **fp32 evaluations**: the same time divided
  by one full fp32 evaluation on the tune samples, measured in the same process just before.
- **Evaluations** and **samples**: every call, fp32's included; autoq's samples also count its held-out verdict, which
  the others do not give. **Peak MB**: the process and its children, the samples included.

Settings are the tools' defaults, with these exceptions. INC: QDQ nodes (its QOperator form of MiniLM does not load),
and the strategy asked for from the start, until the first model it accepts. NNCF: calibration on all samples given;
the subset it ranks layers on follows from that (at most 64 items, its default is 300 and slower); MiniLM is declared
a transformer. ONNX Runtime's quantizers tune nothing and promise nothing: one call, after the pre-processing that
their guide asks for. autoq: strategy `auto`, no other option. What autoq learns of a machine once per runtime version
is kept there and not counted."""


def markdown(results: Iterable[CellResult]) -> str:
    """Every task with a result: its limits and tools in a fixed order."""
    found = sorted(results, key=_order)
    parts = [_conditions(found)] if found else []
    for name, source in TASKS.items():
        rows = [_row(result) for result in found if result.cell.task == name]
        if rows:
            parts.append(f"### {source.title}\n\n{source.about}\n\n{_table(rows)}")
    return "\n\n".join(parts)


def write_section(results: Sequence[CellResult], page: Path = PAGE) -> Path:
    """Put the tables between their marks on the page; the marks are added at its end if they are missing."""
    text = page.read_text(encoding="utf-8")
    section = f"{BEGIN}\n\n## Beside other tools: `make peers`\n\n{_LEGEND}\n\n{markdown(results)}\n\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    after = rest.partition(END)[2].removeprefix("\n") if begin else ""
    head = before.rstrip("\n") + "\n\n"
    page.write_text(head + section + (f"\n{after.lstrip()}" if after.strip() else ""), encoding="utf-8")
    return page


def _order(result: CellResult) -> tuple[int, float, int]:
    cell = result.cell
    return list(TASKS).index(cell.task), -cell.limit, list(TOOLS).index(cell.tool)


def _conditions(results: Sequence[CellResult]) -> str:
    machine = results[-1].environment.get("machine", {})
    versions: dict[str, set[str]] = {}
    for result in results:
        for package, version in result.environment.get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    listed = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in sorted(versions.items()))
    limits = " and ".join(sorted({f"{result.timeout:.0f}" for result in results}))
    cpu = machine.get("cpu") or machine.get("processor") or "unknown processor"
    return f"{cpu}; {listed}. Time limit of a search: {limits} s. The judge runs in autoq's environment."


def _row(result: CellResult) -> list[str]:
    judged = result.judged
    cells = [f"{100 * result.cell.limit:g} %", TOOLS[result.cell.tool].title, _answer(result)]
    if judged is None:
        cells += ["–", "–", "–"]
    else:
        shown = "1" if result.answer == "fp32" else f"{judged.latency:.2f} [{judged.low:.2f}, {judged.high:.2f}]"
        cells += [_percent(judged.tune_loss), _percent(judged.held_out_loss), shown]
    many = "–" if math.isnan(result.in_evaluations) else f"{result.in_evaluations:.1f}"
    return [
        *cells,
        f"{result.seconds:.0f}",
        _accepted_after(result),
        many,
        f"{result.evaluations:,}",
        f"{result.samples:,}",
        f"{result.peak_rss_mb:,}",
    ]


def _answer(result: CellResult) -> str:
    if result.answer == "fp32":
        return "fp32 stays"
    said = {True: "accepted", False: "not accepted", None: "no promise"}[result.accepted]
    if result.judged is None:
        why = "" if result.status == "finished" else f": {result.status}"
        return f"nothing{why}"
    verdict = "kept" if result.judged.keeps else "broken"
    if result.answer == "attempt":
        return f"attempt, {verdict}: {result.status}"
    return f"{said}, {verdict}"


def _accepted_after(result: CellResult) -> str:
    if result.answer != "model" or result.accepted is not True:
        return "–"
    return f"{result.seconds if result.accepted_after is None else result.accepted_after:.0f}"


def _percent(loss: float) -> str:
    return f"{100 * loss:.1f} %"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
