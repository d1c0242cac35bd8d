"""Writing a report: a page that opens offline, and the same as data beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from autoq.core.errors import StoreError
from autoq.report import deployment, hindrance, page, side_by_side, text
from autoq.report.charts import history, scatter
from autoq.report.document import ReportDocument
from autoq.report.effects_chart import effects_chart
from autoq.report.front import front_chart, front_quantities, front_rows
from autoq.report.naming import baseline_name, rivals_of
from autoq.report.rivals import rival_rows
from autoq.report.scoring import scoring_effort
from autoq.report.sensitivity import MEANING, NAMES
from autoq.store.artifacts import write_text_atomic

_WIDE, _NARROW = 720, 300


def write_report(document: ReportDocument, folder: Path) -> Path:
    """Write ``report.html`` and ``report.json`` into a folder; returns the page's path.

    Raises:
        StoreError: The disk is full or not writable.
    """
    write_text_atomic(
        folder / "report.json", json.dumps(document.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )
    write_text_atomic(folder / "report.html", render(document))
    return folder / "report.html"


def read_report(path: Path) -> ReportDocument:
    """The document in a ``report.json``.

    Raises:
        StoreError: It cannot be read, or is no report.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"the report cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise StoreError(f"this is not a report: {error}", where=str(path)) from error
    if not isinstance(data, dict):
        raise StoreError("this is not a report", where=str(path))
    return ReportDocument.from_json(data)


def render(document: ReportDocument) -> str:
    """The page."""
    kinds, cells = page.precision_map(document)
    held_out = document.held_out
    return (
        environment()
        .get_template("report.html")
        .render(
            document=document,
            verdict=document.verdict,
            css=style(),
            text=text,
            gate=deployment,
            tune=page.shown_losses(document),
            held_out=page.losses(document.criteria, held_out.scores) if held_out is not None else [],
            compared=side_by_side.compared(document),
            base=baseline_name(document.trials),
            rivals=rival_rows(document),
            floats=len(rivals_of(document.trials)),
            effort=scoring_effort(document.trials, document.samples.get("tune", 0)),
            decided=any(t.decided for t in document.trials),
            estimated=any(t.latency is not None and t.latency.estimated for t in document.trials),
            on_reference=any(t.reference for t in document.trials),
            speed_bars=side_by_side.speed_bars(document),
            speed=side_by_side.speed_text(document),
            samples=page.samples(document),
            kinds=kinds,
            cells=cells,
            types=page.by_type(cells, kinds),
            trials=page.trial_rows(document),
            phases=page.phases(document),
            scatters=[(c.metric, both(partial(scatter, document, index))) for index, c in enumerate(document.criteria)],
            history=both(partial(history, document)),
            front_quantities=front_quantities(document),
            front_rows=front_rows(document),
            front_picture=both(partial(front_chart, document)),
            hindrance=hindrance,
            effects=[
                (NAMES[s.need], MEANING[s.need], s, chart)
                for s in document.sensitivities
                if (chart := both(partial(effects_chart, s))) is not None
            ],
        )
    )


def environment() -> Environment:
    """Where the templates are found."""
    return Environment(
        loader=PackageLoader("autoq.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> Markup:
    """The style sheet of all pages."""
    return Markup((files("autoq.report") / "templates" / "report.css").read_text(encoding="utf-8"))


def both(draw: Callable[[int], str | None]) -> tuple[Markup, Markup] | None:
    """The wide and the narrow picture. Vega escapes what the user wrote, so they are safe to place."""
    wide, narrow = draw(_WIDE), draw(_NARROW)
    if wide is None or narrow is None:
        return None
    return Markup(wide), Markup(narrow)
