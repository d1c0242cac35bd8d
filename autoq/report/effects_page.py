"""A page of its own for what quantizing each op does: chart and table, without a search."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from autoq.report import text
from autoq.report.effects_chart import effects_chart
from autoq.report.html import both, environment, style
from autoq.report.sensitivity import MEANING, NAMES, Sensitivities
from autoq.store.artifacts import write_text_atomic


def write_effects_page(name: str, found: Sensitivities, path: Path) -> None:
    """Write the page; it opens offline.

    Args:
        name: The model's name in the job.
        found: What was measured.
        path: Where to.

    Raises:
        StoreError: The disk is full or not writable.
    """
    page = (
        environment()
        .get_template("sensitivity.html")
        .render(
            name=name,
            what=NAMES[found.need],
            meaning=MEANING[found.need],
            found=found,
            chart=both(partial(effects_chart, found)),
            css=style(),
            text=text,
        )
    )
    write_text_atomic(path, page)
