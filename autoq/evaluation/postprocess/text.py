"""From class scores per time step to text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from autoq.core.batch import Batch
from autoq.core.errors import ConfigError, EvaluationError
from autoq.evaluation.postprocess.base import Step, need_rank, one_array


def ctc_greedy(
    charset: list[str] | str,
    blank: int = 0,
    space: bool = False,
    layout: Literal["ntc", "tnc"] = "ntc",
    output: str | int | None = None,
    base: Path = Path(),
) -> Step:
    """Best-path decoding (Graves et al. 2006): best class per step, repeats joined, blanks dropped.

    Args:
        charset: Symbols in class order, or a text file with one per line. The blank may be among them or not.
        blank: Class of the blank.
        space: Append a space as last symbol.
        layout: Axes of the scores: samples, time steps, classes, or time steps first.
        output: Output with the scores; the only one by default.
        base: Folder that a relative path starts from.

    Raises:
        ConfigError: The file cannot be read, or arguments make no sense.
    """
    symbols = _symbols(charset, base) + ([" "] if space else [])
    if layout not in ("ntc", "tnc"):
        raise ConfigError(f"ctc_greedy: layout is ntc or tnc, not {layout!r}")

    def step(value: Any, batch: Batch) -> list[str]:
        del batch
        scores = need_rank(one_array(value, output), 3, "class scores [samples, steps, classes]")
        if layout == "tnc":
            scores = scores.transpose(1, 0, 2)
        by_class = _by_class(symbols, scores.shape[2], blank)
        best = scores.argmax(axis=2)
        keep = best != blank
        keep[:, 1:] &= best[:, 1:] != best[:, :-1]
        return ["".join(by_class[c] for c in row[kept]) for row, kept in zip(best, keep, strict=True)]

    return step


def _symbols(charset: list[str] | str, base: Path) -> list[str]:
    if isinstance(charset, list):
        return [str(symbol) for symbol in charset]
    path = base / Path(charset).expanduser()
    try:
        # Only line ends separate: a line may be a space, or a symbol that splitlines would split at.
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"ctc_greedy: the charset cannot be read: {error}", where=str(path)) from error
    return text.removesuffix("\n").split("\n")


def _by_class(symbols: list[str], classes: int, blank: int) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    if not 0 <= blank < classes:
        raise EvaluationError(f"ctc_greedy: the blank is class {blank}, the model has {classes} classes")
    if len(symbols) == classes - 1:
        symbols = [*symbols[:blank], "", *symbols[blank:]]
    if len(symbols) != classes:
        raise EvaluationError(
            f"ctc_greedy: {len(symbols)} symbols for {classes} classes",
            hint="the charset holds one symbol per class, with or without the blank; space: true appends a space",
        )
    return np.array(symbols, dtype=object)
