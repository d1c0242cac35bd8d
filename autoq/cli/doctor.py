"""`autoq doctor`: what this machine and this installation can do."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from autoq.cli.console import console, error_console
from autoq.core.adaptor import ProbedCell, Probing, Usability
from autoq.core.errors import MissingDependencyError
from autoq.core.registry import ADAPTORS, make_adaptor
from autoq.tuning.environment import processor, versions

# What makes 8-bit kernels fast, by the flag the kernel reports.
_FEATURES: Mapping[str, str] = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bf16",
    "asimddp": "Arm dot product",
    "i8mm": "Arm int8 matrix product",
}
_FAST_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")


def command(
    probe: Annotated[
        bool, typer.Option("--probe", help="Verify every cell of the capability tables by running a micro-model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show versions and CPU features, which adaptors are usable, and what is missing for the rest."""
    flags = cpu_flags()
    features = [name for flag, name in _FEATURES.items() if flag in flags]
    usable: dict[str, Usability] = {name: _usability(name) for name in ADAPTORS}
    found = _probed([name for name, state in usable.items() if state.usable], run=probe)
    if as_json:
        console.print_json(data=_json(features, usable, found))
        return
    console.print(f"{processor()}, {os.cpu_count()} cores, {platform.platform(terse=True)}", highlight=False)
    console.print(f"features: {', '.join(features) or 'unknown'}", highlight=False)
    if flags and not any(flag in flags for flag in _FAST_INT8):
        console.print(
            "this CPU has no 8-bit dot product: int8 may be slower than fp32, and less accurate where sums saturate",
            style="yellow",
        )
    shown = {"python": platform.python_version(), **versions()}
    console.print(", ".join(f"{name} {version}" for name, version in shown.items()), style="dim", highlight=False)
    console.print()
    console.print(_adaptors(usable))
    for cache, names in _by_cache(found).items():
        console.print()
        cells = found[names[0]][1]
        if cells:
            console.print(f"{', '.join(names)}: probed on this machine", highlight=False)
            console.print(_cells(cells))
        else:
            console.print(f"{', '.join(names)}: not probed; `autoq doctor --probe` does", highlight=False)
        console.print(f"kept in {cache}", style="dim", highlight=False, soft_wrap=True)


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, as Linux names it; empty where that is not known."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    line = next((line for line in lines if line.startswith(("flags", "Features"))), ":")
    return frozenset(line.partition(":")[2].split())


def _usability(name: str) -> Usability:
    try:
        return make_adaptor(name).usability()
    except MissingDependencyError as error:
        return Usability(False, {}, error.hint or f"pip install 'autoq[{ADAPTORS[name].extra}]'", (error.message,))


def _probed(names: Sequence[str], *, run: bool) -> dict[str, tuple[Path, Sequence[ProbedCell]]]:
    """What was probed, by adaptor; adaptors that share one cache are probed once."""
    cells: dict[Path, Sequence[ProbedCell]] = {}
    found: dict[str, tuple[Path, Sequence[ProbedCell]]] = {}
    for name in names:
        adaptor = make_adaptor(name)
        if not isinstance(adaptor, Probing):
            continue
        cache = adaptor.probe_cache
        if cache not in cells and run:
            with error_console.status("probing …") as status:
                cells[cache] = adaptor.probe(lambda cell, status=status: status.update(f"probing {cell} …"))  # type: ignore[misc]
        elif cache not in cells:
            cells[cache] = adaptor.probed()
        found[name] = cache, cells[cache]
    return found


def _by_cache(found: Mapping[str, tuple[Path, Sequence[ProbedCell]]]) -> dict[Path, list[str]]:
    names: dict[Path, list[str]] = {}
    for name, (cache, _) in found.items():
        names.setdefault(cache, []).append(name)
    return names


def _adaptors(usable: Mapping[str, Usability]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("adaptor", "usable", "versions", ""):
        table.add_column(heading)
    for name, state in usable.items():
        known = ", ".join(f"{package} {version or 'missing'}" for package, version in state.versions.items())
        remark = state.missing or "; ".join(state.notes) or ADAPTORS[name].summary
        mark = Text("yes", style="green") if state.usable else Text("no", style="red")
        table.add_row(name, mark, known, Text(remark, style="" if state.missing else "dim"))
    return table


def _cells(cells: Sequence[ProbedCell]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("type", "precision", "runs quantized", "latency / fp32"):
        table.add_column(heading)
    previous = ""
    for cell in cells:
        slower = cell.cost is not None and cell.cost > 1
        cost = Text("" if cell.cost is None else f"{cell.cost:.2f}", style="yellow" if slower else "")
        runs = Text("yes") if cell.quantized else Text(f"no: {cell.note}", style="red")
        table.add_row("" if cell.type == previous else cell.type, cell.precision, runs, cost)
        previous = cell.type
    return table


def _json(
    features: Sequence[str],
    usable: Mapping[str, Usability],
    found: Mapping[str, tuple[Path, Sequence[ProbedCell]]],
) -> dict[str, Any]:
    return {
        "processor": processor(),
        "features": list(features),
        "python": platform.python_version(),
        "versions": versions(),
        "adaptors": {
            name: {
                "usable": state.usable,
                "versions": dict(state.versions),
                "missing": state.missing,
                "notes": list(state.notes),
            }
            for name, state in usable.items()
        },
        "probed": {
            name: {
                "cache": str(cache),
                "cells": [
                    {"type": c.type, "precision": c.precision, "quantized": c.quantized, "cost": c.cost, "note": c.note}
                    for c in cells
                ],
            }
            for name, (cache, cells) in found.items()
        },
    }
