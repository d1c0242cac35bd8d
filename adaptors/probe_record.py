"""What probing found on this machine, kept for the next load of a model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from autoq.core.adaptor import ProbedCell
from autoq.core.machine import cache_folder, machine_digest


@dataclass(frozen=True)
class ProbeRecord:
    """The record of one version of a runtime.

    Attributes:
        package: The runtime.
        version: Its version; what was found with another one is not used.
    """

    package: str
    version: str

    @property
    def file(self) -> Path:
        """Where results for this machine and version are kept."""
        return cache_folder() / "probe" / f"{self.package}-{self.version}-{machine_digest()}.json"

    def read(self) -> tuple[ProbedCell, ...]:
        """What was probed on this machine with this version; empty when nothing was, or when it cannot be read."""
        try:
            rows = json.loads(self.file.read_text(encoding="utf-8"))
            return tuple(
                ProbedCell(str(r["type"]), str(r["precision"]), bool(r["quantized"]), r["cost"], str(r["note"]))
                for r in rows
            )
        except (OSError, ValueError, KeyError, TypeError):
            return ()

    def write(self, cells: Sequence[ProbedCell]) -> None:
        """Keep what was found, in one step."""
        path = self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
            json.dump([asdict(cell) for cell in cells], file, indent=1)
        Path(file.name).replace(path)

    def costs(self) -> Mapping[tuple[str, str], float | None]:
        """`read` by op type and precision; None for a cell that does not run quantized."""
        return {(c.type, c.precision): c.cost if c.quantized else None for c in self.read()}
