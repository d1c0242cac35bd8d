"""The protocols a framework backend implements. Small on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from autoq.core.batch import Array, Batch, Inputs, Outputs, TensorSpec
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.plan import Plan
from autoq.core.statistics import Calibration, Needs


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        model: A path, or the framework's own object.
        inputs: Names of inputs to use, in order; empty for the model's own.
        outputs: Names of outputs to compute, in order; empty for the model's own.
        options: Further keys of the job's ``model`` section.
        example: Gives one batch of inputs, where a model's inputs and ops are found by running it; called at most
            once. None where there are no data.
    """

    model: Any
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    example: Callable[[], Inputs] | None = field(default=None, hash=False, compare=False)


@dataclass(frozen=True)
class RunOptions:
    """How inference runs.

    Attributes:
        threads: Intra-op threads; None for the framework's default.
    """

    threads: int | None = None


class Model(Protocol):
    """A loaded fp32 model."""

    @property
    def fingerprint(self) -> str:
        """Content address of graph and weights."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What it takes."""

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """What it gives."""

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""


def notes_of(model: object) -> tuple[str, ...]:
    """What a user should know of a loaded model, where its adaptor found something.

    Some models keep notes by op instead; these belong to rows of the capability table.
    """
    notes = getattr(model, "notes", ())
    return notes if isinstance(notes, tuple) else ()


class Candidate(Protocol):
    """A model built from a plan, ready to run."""

    @property
    def realized(self) -> Plan:
        """What really runs, read back from the runtime."""

    @property
    def native(self) -> object:
        """What the framework's user expects to hold."""

    @property
    def size_bytes(self) -> int:
        """Bytes its saved form takes."""

    def predict(self, inputs: Inputs) -> Outputs:
        """Run one batch.

        Raises:
            DataError: Wrong names, shapes or dtypes.
            TrialError: The runtime failed.
        """

    def close(self) -> None:
        """Release what it holds."""


@runtime_checkable
class Compilable(Protocol):
    """What a candidate offers that is scored as a faithful reference and deployed compiled."""

    def compiled(self) -> Candidate:
        """The deployed form; takes seconds to minutes the first time, and is kept.

        Raises:
            TrialError: It does not compile.
        """

    @property
    def compile_seconds(self) -> float | None:
        """What the first call of `compiled` took; None before."""


@dataclass(frozen=True)
class OpCosts:
    """Seconds per op for one batch, from the runtime's own profiler.

    Attributes:
        seconds: Seconds by op id; an op that was fused away is missing.
        overhead: Seconds in nodes that belong to no op of the table (conversions, reshapes).
    """

    seconds: Mapping[str, float]
    overhead: float = 0.0


@dataclass(frozen=True)
class Artifact:
    """A saved model: the folder, and the files in it that a user deploys."""

    folder: Path
    files: tuple[str, ...]


@dataclass(frozen=True)
class Usability:
    """Whether an adaptor works here, for `autoq doctor`.

    Attributes:
        usable: True when jobs can run.
        versions: Version by package; ``None`` for one that is missing.
        missing: What to install, as a command; empty when nothing is missing.
        notes: What else a user should know.
    """

    usable: bool
    versions: Mapping[str, str | None]
    missing: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbedCell:
    """One op type in one precision, as it was found to run on this machine.

    Attributes:
        type: Op type.
        precision: Label of the precision.
        quantized: Whether a quantized kernel ran.
        cost: Latency relative to fp32; None when no quantized kernel ran.
        note: Why none ran.
    """

    type: str
    precision: str
    quantized: bool
    cost: float | None
    note: str = ""


M = TypeVar("M", bound=Model)


class Adaptor(Protocol[M]):
    """One framework backend."""

    def load(self, source: ModelSource) -> M:
        """Read a model.

        Raises:
            ModelError: It cannot be read or used, with the reason.
        """

    def capabilities(self, model: M) -> CapabilityTable:
        """Which op can run in which precision on this machine."""

    def needs(self, model: M, table: CapabilityTable) -> Needs:
        """Which statistics any plan over this table can ask for."""

    def transform(self, model: M, recipe: Recipe, calibration: Calibration) -> M:
        """A rewritten base model with the same op ids."""

    def calibrate(self, model: M, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Collect statistics in one streaming pass; memory does not grow with the number of samples."""

    def observe(self, model: M, batches: Iterable[Batch], tensors: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Intermediate outputs, batch by batch."""

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """Seconds per op of one batch."""

    def apply(self, model: M, plan: Plan, calibration: Calibration | None, options: RunOptions) -> Candidate:
        """Build what the plan says, without changing `model`. The empty plan is fp32 at its best.

        Raises:
            TrialError: The plan could not be built or loaded.
        """

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Write the model into an existing, empty folder."""

    def load_artifact(self, folder: Path, options: RunOptions) -> Candidate:
        """Load what `save` wrote, or the user's own model file: same outputs as what was saved."""

    def usability(self) -> Usability:
        """Versions, and what is missing. Never raises and never imports the framework."""


@runtime_checkable
class LocalErrors(Protocol):
    """What an adaptor offers that can tell the error each op makes by itself."""

    def local_errors(
        self, model: Any, plan: Plan, calibration: Calibration | None, batches: Iterable[Batch], options: RunOptions
    ) -> Mapping[str, float]:
        """Relative squared error of each op's own output under `plan` while it is fed the fp32 model's inputs.

        ``sum ||y - q||^2 / sum ||y||^2`` over all samples, by op id, in one streaming pass whose memory does not grow
        with samples. Ops in float, and ops whose output cannot be seen, are missing. Quantization may be simulated:
        this ranks ops and scores nothing.
        """


@runtime_checkable
class Curvature(Protocol):
    """What an adaptor offers whose framework differentiates."""

    def curvature(
        self, model: Any, plan: Plan, batches: Iterable[Batch], *, seed: int, draws: int, options: RunOptions
    ) -> Mapping[str, float]:
        """Estimate of the final output's relative squared error caused by each op's quantized weights, by op id.

        The trace of the Hessian (Hutchinson, `draws` random directions) times the squared perturbation of the weights
        under `plan` (HAWQ-V2, Dong et al. 2020). Ops without weights are missing.

        Raises:
            UnsupportedError: The model gives no output that can be differentiated.
        """


@runtime_checkable
class Probing(Protocol):
    """What an adaptor offers that can verify its capability table on this machine."""

    @property
    def probe_cache(self) -> Path:
        """Where results are kept."""

    def probe(self, progress: Callable[[str], None]) -> Sequence[ProbedCell]:
        """Run every cell and remember the result; `progress` is told the cell about to run."""

    def probed(self) -> Sequence[ProbedCell]:
        """What `probe` found here before; empty when it never ran."""
