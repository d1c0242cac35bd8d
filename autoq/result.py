"""What `autoq.fit` gives back."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autoq.core.adaptor import Candidate, RunOptions
from autoq.core.errors import StoreError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.registry import make_adaptor
from autoq.core.trial import Trial
from autoq.report.document import ReportDocument
from autoq.store.artifacts import atomic_folder
from autoq.store.failures import telling
from autoq.tuning.deployment.gate import FOLDER
from autoq.tuning.handover import FRAMEWORK_FILE
from autoq.tuning.outcome import TuningOutcome


@dataclass(frozen=True, repr=False)
class Result:
    """The outcome of a job, with its files on disk.

    Attributes:
        outcome: Everything that was found.
        document: The report's content.
        framework: Which adaptor tuned the model.
        threads: Threads the model was measured with.
    """

    outcome: TuningOutcome
    document: ReportDocument
    framework: str
    threads: int | None

    def __repr__(self) -> str:
        """What was decided and where everything lies; the whole outcome would fill the screen."""
        best = self.best
        found = "fp32 is the answer"
        if best is not None:
            speed = f", latency {best.latency.ratio.value:.3f} of fp32" if best.latency is not None else ""
            found = f"accepted trial {best.number}{speed}"
        return f"<autoq.Result {self.framework}: {found}, {len(self.trials)} trials, in {self.folder}>"

    @property
    def accepted(self) -> bool:
        """True when a plan better than fp32 keeps the promise; False when the answer is fp32."""
        return self.outcome.accepted

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every finished trial, fp32 (number 0) included."""
        return self.outcome.trials

    @property
    def best(self) -> Trial | None:
        """The accepted trial, or None."""
        return self.outcome.best

    @property
    def plan(self) -> Plan:
        """The plan handed over; the empty plan means fp32."""
        return self.outcome.best.plan if self.outcome.best is not None else FP32_PLAN

    @property
    def folder(self) -> Path:
        """The job's folder: model, plan.yaml, report.html, report.json, bundle."""
        return self.outcome.folder

    @cached_property
    def candidate(self) -> Candidate:
        """The chosen model, loaded and ready for `predict`."""
        return make_adaptor(self.framework).load_artifact(self.outcome.model_folder, RunOptions(self.threads))

    @property
    def model(self) -> object:
        """The chosen model as the framework's user expects to hold it (fp32 when nothing was accepted)."""
        return self.candidate.native

    def report(self) -> Path:
        """Path of the report page; the same as data lies beside it as report.json."""
        return self.folder / "report.html"

    def save(self, folder: str | Path) -> Path:
        """Copy the model, its plan, the report and the replay bundle into a new folder.

        Raises:
            StoreError: The folder exists and holds something else, or cannot be written.
        """
        target = Path(folder)
        with telling(target):
            foreign = target.exists() and any(target.iterdir()) and not (target / FRAMEWORK_FILE).exists()
        if foreign:
            raise StoreError("this folder is not empty and holds no autoq result", where=str(target))
        with atomic_folder(target) as scratch:
            shutil.copytree(self.outcome.model_folder, scratch, dirs_exist_ok=True)
            for name in ("plan.yaml", "report.html", "report.json"):
                shutil.copy2(self.folder / name, scratch / name)
            shutil.copytree(self.folder / "bundle", scratch / "bundle")
            if self.outcome.deployment is not None and self.outcome.deployment.files:
                shutil.copytree(self.folder / FOLDER, scratch / FOLDER)
        return target


def load(folder: str | Path, threads: int | None = None) -> Candidate:
    """Load what `Result.save` wrote, or the ``model`` folder of a job.

    Args:
        folder: The folder.
        threads: Intra-op threads; the framework's default when None.

    Raises:
        StoreError: Not such a folder.
        MissingDependencyError: Its framework is not installed.
    """
    source = Path(folder)
    try:
        framework = (source / FRAMEWORK_FILE).read_text().strip()
    except OSError as error:
        raise StoreError(
            "this folder holds no model saved by autoq", where=str(source), hint=f"it has no {FRAMEWORK_FILE}"
        ) from error
    return make_adaptor(framework).load_artifact(source, RunOptions(threads))
