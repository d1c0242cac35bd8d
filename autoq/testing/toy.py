"""A toy framework in pure NumPy whose best plan is known: for tests of strategies, tuner and runners.

A toy model is a chain of ops. An int8 op adds its `noise` to one score and takes its own time; every change
between float and int8 along the chain costs a conversion. Time is simulated, so latencies are exact.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from autoq.core.adaptor import Artifact, Candidate, ModelSource, OpCosts, RunOptions, Usability
from autoq.core.batch import Array, Batch, Inputs, Outputs, TensorSpec
from autoq.core.capability import Capability, CapabilityTable, Op, Recipe
from autoq.core.digest import digest_of
from autoq.core.errors import DataError, ModelError, TrialError
from autoq.core.plan import Plan
from autoq.core.precision import FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant
from autoq.core.statistics import Calibration, Needs, TensorStatistics

INT8 = OpPrecision(
    Mode.STATIC,
    TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL, Observer.MINMAX),
    TensorQuant(DType.UINT8, Scheme.ASYM, Granularity.PER_TENSOR, Observer.MINMAX),
)
"""The one quantized precision of a toy op."""

_FILE = "toy.json"
_MARGIN = TensorSpec("margin", "float32", (None, 1))


@dataclass(frozen=True)
class ToyOp:
    """One op of the chain.

    Attributes:
        id: Its id.
        type: Its type.
        noise: What it adds to the output when it runs in int8.
        float_seconds: Its time in float.
        int8_seconds: Its time in int8.
        group: Ops of one group change together.
        fault: What goes wrong when it runs in int8: ``build`` (an error), ``nan`` (NaN outputs), ``exit`` (the
            process dies), ``hang`` (it never returns), ``memory`` (it takes a gigabyte), ``refuse`` (it stays
            float).
    """

    id: str
    type: str = "Linear"
    noise: float = 0.0
    float_seconds: float = 0.002
    int8_seconds: float = 0.001
    group: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class ToyModel:
    """A chain of ops, and what a conversion between float and int8 costs in seconds."""

    ops: tuple[ToyOp, ...]
    conversion_seconds: float = 0.0002

    @property
    def fingerprint(self) -> str:
        """Content address."""
        return digest_of(asdict(self))

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """``margin [n, 1]``: how much noise a sample bears."""
        return (_MARGIN,)

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """``logits [n, 2]``: class 0 wins while the noise is at most the margin."""
        return (TensorSpec("logits", "float32", (None, 2)),)

    @property
    def size_bytes(self) -> int:
        """1000 bytes an op."""
        return 1000 * len(self.ops)

    def seconds(self, plan: Plan) -> float:
        """Time of one sample under a plan that is realized as asked."""
        states = [False, *(not plan[op.id].is_float for op in self.ops), False]
        spent = sum(
            op.int8_seconds if quantized else op.float_seconds
            for op, quantized in zip(self.ops, states[1:], strict=False)
        )
        return spent + self.conversion_seconds * sum(a != b for a, b in itertools.pairwise(states))

    def noise(self, plan: Plan) -> float:
        """Noise of a plan that is realized as asked."""
        return float(sum(op.noise for op in self.ops if not plan[op.id].is_float))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> ToyModel:
        """Read what `save` wrote.

        Raises:
            ModelError: Not such a file.
        """
        try:
            data = json.loads(path.read_text())
            return cls(tuple(ToyOp(**op) for op in data["ops"]), data["conversion_seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a toy model: {error}", where=str(path)) from error


class ToyCandidate:
    """A toy model under a plan."""

    def __init__(self, adaptor: ToyAdaptor, model: ToyModel, plan: Plan) -> None:
        refused = {op.id: FP32 for op in model.ops if op.fault == "refuse"}
        self.model = model
        self._adaptor = adaptor
        self._realized = plan.with_precisions(refused)
        self._faults = {op.fault for op in model.ops if not self._realized[op.id].is_float and op.fault}
        if "build" in self._faults:
            raise TrialError("a toy op cannot be built in int8")

    @property
    def realized(self) -> Plan:
        """What runs: everything asked for but the ops that refuse."""
        return self._realized

    @property
    def native(self) -> object:
        """The candidate itself."""
        return self

    @property
    def size_bytes(self) -> int:
        """1000 bytes a float op, 250 an int8 op."""
        return sum(1000 if self._realized[op.id].is_float else 250 for op in self.model.ops)

    def predict(self, inputs: Inputs) -> Outputs:
        """Logits; advances the simulated clock by the plan's time for each sample."""
        array = _only(inputs)
        self._fail()
        self._adaptor.advance(self.model.seconds(self._realized) * len(array))
        scores = np.asarray(array, np.float32).reshape(-1, 1) - np.float32(self.model.noise(self._realized))
        logits = np.concatenate([scores, np.zeros_like(scores)], axis=1)
        return {"logits": logits * np.float32(np.nan) if "nan" in self._faults else logits}

    def close(self) -> None:
        """Nothing to release."""

    def _fail(self) -> None:
        if "exit" in self._faults:
            os._exit(42)
        if "hang" in self._faults:
            time.sleep(3600)
        if "memory" in self._faults:
            hog = np.ones(2**27)  # one gigabyte, touched
            time.sleep(5)
            del hog


class ToyAdaptor:
    """The adaptor protocol over toy models. Its `clock` is simulated."""

    def __init__(self) -> None:
        self._now = 0.0

    def clock(self) -> float:
        """Simulated seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let simulated time pass."""
        self._now += seconds

    def load(self, source: ModelSource) -> ToyModel:
        """A `ToyModel`, or the path of a saved one."""
        if isinstance(source.model, ToyModel):
            return source.model
        return ToyModel.read(Path(source.model))

    def capabilities(self, model: ToyModel) -> CapabilityTable:
        """int8 and float for every op."""
        rows = tuple(Capability(Op(op.id, op.type), (INT8, FP32), op.group, "toy") for op in model.ops)
        return CapabilityTable(rows, tuple(itertools.pairwise(op.id for op in model.ops)))

    def needs(self, model: ToyModel, table: CapabilityTable) -> Needs:
        """The range of the input."""
        del model, table
        return Needs(("margin",), histogram=False)

    def transform(self, model: ToyModel, recipe: Recipe, calibration: Calibration) -> ToyModel:  # noqa: ARG002
        """There are no recipes.

        Raises:
            TrialError: Always.
        """
        raise TrialError(f"toy models have no recipe '{recipe.name}'")

    def calibrate(self, model: ToyModel, batches: Iterable[Batch], needs: Needs) -> Calibration:
        """Range of the input."""
        low, high, samples = np.inf, -np.inf, 0
        for batch in batches:
            array = _only(batch.inputs)
            low, high = min(low, float(array.min())), max(high, float(array.max()))
            samples += batch.samples
        statistics = TensorStatistics(low, high, np.zeros(0, np.int64), low, high, samples)
        digest = digest_of([model.fingerprint, list(needs.tensors), low, high, samples])
        return Calibration({"margin": statistics}, samples, digest)

    def observe(
        self, model: ToyModel, batches: Iterable[Batch], tensors: Sequence[str]
    ) -> Iterator[Mapping[str, Array]]:
        """The input, the only tensor there is."""
        del model, tensors
        for batch in batches:
            yield {"margin": _only(batch.inputs)}

    def profile(self, candidate: Candidate, inputs: Inputs) -> OpCosts:
        """The ops' own seconds."""
        del inputs
        assert isinstance(candidate, ToyCandidate)
        realized = candidate.realized
        return OpCosts(
            {o.id: o.float_seconds if realized[o.id].is_float else o.int8_seconds for o in candidate.model.ops}
        )

    def apply(self, model: ToyModel, plan: Plan, calibration: Calibration | None, options: RunOptions) -> ToyCandidate:
        """The model under a plan."""
        del options
        if not plan.is_baseline and calibration is None:
            raise TrialError("static quantization needs a calibration")
        return ToyCandidate(self, model, plan)

    def save(self, candidate: Candidate, folder: Path) -> Artifact:
        """Model and plan as JSON."""
        assert isinstance(candidate, ToyCandidate)
        data = {"model": asdict(candidate.model), "plan": candidate.realized.to_json()}
        (folder / _FILE).write_text(json.dumps(data))
        return Artifact(folder, (_FILE,))

    def load_artifact(self, folder: Path, options: RunOptions) -> ToyCandidate:
        """What `save` wrote."""
        del options
        try:
            data = json.loads((folder / _FILE).read_text())
            model = ToyModel(tuple(ToyOp(**op) for op in data["model"]["ops"]), data["model"]["conversion_seconds"])
            return ToyCandidate(self, model, Plan.from_json(data["plan"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a saved toy model: {error}", where=str(folder)) from error

    def usability(self) -> Usability:
        """Always usable."""
        return Usability(True, {"numpy": np.__version__})


def best_plan(model: ToyModel, allowed_noise: float) -> Plan:
    """The fastest plan within a noise limit, by trying all of them: the known answer. At most 20 ops."""
    fastest, best = Plan(), model.seconds(Plan())
    for states in itertools.product((False, True), repeat=len(model.ops)):
        plan = Plan({op.id: INT8 for op, quantized in zip(model.ops, states, strict=True) if quantized})
        if model.noise(plan) <= allowed_noise and model.seconds(plan) < best:
            fastest, best = plan, model.seconds(plan)
    return fastest


def _only(inputs: Inputs) -> Array:
    if isinstance(inputs, Mapping):
        if list(inputs) != [_MARGIN.name]:
            raise DataError(f"a toy model takes the input '{_MARGIN.name}', not {', '.join(inputs) or 'none'}")
        array = inputs[_MARGIN.name]
    elif isinstance(inputs, np.ndarray):
        array = inputs
    elif len(inputs) == 1:
        array = inputs[0]
    else:
        raise DataError(f"a toy model takes one input, not {len(inputs)}")
    if not _MARGIN.accepts(array):
        raise DataError(f"a toy model takes float32 [n, 1], not {array.dtype} {list(array.shape)}", where=_MARGIN.name)
    return array
