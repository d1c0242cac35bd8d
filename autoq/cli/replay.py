"""`autoq replay`: does a result come out again?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from autoq.cli.console import console, error_console
from autoq.report.text import ratio_text

DIFFERENT = 21
"""Exit status when plan or scores did not come out again."""


def command(
    bundle_path: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A job's folder, a saved result, or its bundle folder.")
    ],
) -> None:
    """Run a result bundle again and say whether plan and numbers come out again, and if not, why.

    The strategy is asked again and told the stored measurements: the same trials must come out in the same order.
    The chosen plan is built anew and scored on the job's data: scores must be equal. Its latency is measured anew:
    the intervals must overlap.
    """
    from autoq.run import replay_bundle

    with error_console.status("replaying …") as status:
        found = replay_bundle(
            bundle_path, lambda p: status.update(f"{p.phase} {p.done}" + (f"/{p.total}" if p.total else ""))
        )
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("plan", _yes(found.same_plan))
    table.add_row("scores", _yes(found.same_scores))
    then, now = found.latency_then, found.latency_now
    if then is not None and now is not None:
        again = f"{ratio_text(then.ratio)} then, {ratio_text(now.ratio)} now"
        table.add_row("latency / fp32", f"{_yes(found.same_latency)}: {again}")
    console.print(table)
    for difference in found.differences:
        console.print(f"{difference.what}: then {difference.then}; now {difference.now}", highlight=False, markup=False)
    if not (found.same_plan and found.same_scores):
        raise typer.Exit(DIFFERENT)


def _yes(same: bool) -> str:
    return "came out again" if same else "differs"
