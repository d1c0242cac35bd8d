"""What benchmarks share: prepared models, tables, and results with the machine they were measured on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from autoq.tuning.environment import describe_environment
from examples.onnxrt import prepare_efficientnet_lite0, prepare_minilm, prepare_ocr

RESULTS = Path(__file__).parent / "results"

Cell = str | int | float | bool | None

_PREPARATIONS: Mapping[str, Callable[[], object]] = {
    "efficientnet-lite0": prepare_efficientnet_lite0.main,
    "minilm": prepare_minilm.main,
    "ppocr-rec": prepare_ocr.main,
    "ppocr-cls": prepare_ocr.main,
    "ppocr-det": prepare_ocr.main,
}


def prepared(name: str) -> Path:
    """Folder of a prepared example, with ``job.yaml``, the model and its data; made if it is not there."""
    made = _PREPARATIONS[name]()
    folders = made if isinstance(made, list) else [made]
    return next(Path(str(f)) for f in folders if Path(str(f)).name == name)


def print_table(title: str, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Print rows of equal keys with aligned columns."""
    columns = list(rows[0])
    cells = [columns, *([_text(row[c]) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    print(f"\n{title}")
    for number, line in enumerate(cells):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def write_results(name: str, rows: Sequence[Mapping[str, Cell]], threads: int | None = None) -> Path:
    """Write rows to ``benchmarks/results/<name>.json``, with command, time, machine and versions."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {
        "command": f"python -m benchmarks.{name} {' '.join(sys.argv[1:])}".strip(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": dict(describe_environment(threads)),
        "rows": [dict(row) for row in rows],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def kept_rows(name: str, keep: Callable[[Mapping[str, Cell]], bool]) -> list[dict[str, Cell]]:
    """Rows of earlier results that a partial run does not measure again."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return []
    rows: list[dict[str, Cell]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if keep(row)]


def _text(value: Cell) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)
