"""Toy models: a chain of ops whose time and noise under a plan are known, and so is the best plan.

An int8 op adds its `noise` to one score and takes its own time; every change between float and int8 along the chain
costs a conversion.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from autoq.core.batch import TensorSpec
from autoq.core.capability import Recipe
from autoq.core.digest import digest_of
from autoq.core.errors import ModelError
from autoq.core.plan import Plan
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

INT8 = OpPrecision(
    Mode.STATIC,
    TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL, Observer.MINMAX),
    TensorQuant(DType.UINT8, Scheme.ASYM, Granularity.PER_TENSOR, Observer.MINMAX),
)
"""The one quantized precision of a toy op."""

BF16 = Recipe("bf16")
"""Float ops run faster and noisier; offered where a model has `ToyModel.half_speed`."""

EAGER = Recipe("eager")
"""Float without compiling, at twice the time; offered where a model is compiled."""

MARGIN = TensorSpec("margin", "float32", (None, 1))
"""What toy models take: how much noise a sample bears."""

_EAGER_SLOWNESS = 2.0


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
            float), ``compile`` (what was built does not compile).
        drift: What it adds to `noise` in int8 once it is compiled.
    """

    id: str
    type: str = "Linear"
    noise: float = 0.0
    float_seconds: float = 0.002
    int8_seconds: float = 0.001
    group: str | None = None
    fault: str | None = None
    drift: float = 0.0


@dataclass(frozen=True)
class ToyModel:
    """A chain of ops.

    Attributes:
        ops: The chain.
        conversion_seconds: What a conversion between float and int8 costs.
        half_speed: Time of a float op under the recipe `BF16`, relative to fp32; None where there is no such recipe.
        half_noise: What a float op adds to the output under that recipe.
        compile_seconds: What compiling a candidate is said to take; None where none is compiled.
        compile_sleep: What it really takes.
    """

    ops: tuple[ToyOp, ...]
    conversion_seconds: float = 0.0002
    half_speed: float | None = None
    half_noise: float = 0.0
    compile_seconds: float | None = None
    compile_sleep: float = 0.0

    @property
    def fingerprint(self) -> str:
        """Content address."""
        return digest_of(asdict(self))

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """``margin [n, 1]``: how much noise a sample bears."""
        return (MARGIN,)

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """``logits [n, 2]``: class 0 wins while the noise is at most the margin."""
        return (TensorSpec("logits", "float32", (None, 2)),)

    @property
    def size_bytes(self) -> int:
        """1000 bytes an op."""
        return 1000 * len(self.ops)

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """What may act on a quantized plan."""
        return (BF16,) if self.half_speed is not None else ()

    @property
    def float_recipes(self) -> tuple[tuple[Recipe, ...], ...]:
        """What may act on the float model."""
        eager = ((EAGER,),) if self.compile_seconds is not None else ()
        return (*eager, *((recipe,) for recipe in self.recipes))

    def seconds(self, plan: Plan) -> float:
        """Time of one sample under a plan that is realized as asked, in the form that is deployed."""
        states = [False, *(not plan[op.id].is_float for op in self.ops), False]
        speed = 1.0 if self.half_speed is None or BF16 not in plan.recipes else self.half_speed
        spent = sum(
            op.int8_seconds if quantized else speed * op.float_seconds
            for op, quantized in zip(self.ops, states[1:], strict=False)
        )
        spent += self.conversion_seconds * sum(a != b for a, b in itertools.pairwise(states))
        return _EAGER_SLOWNESS * spent if EAGER in plan.recipes else spent

    def noise(self, plan: Plan, *, deployed: bool = True) -> float:
        """Noise of a plan that is realized as asked; that of its reference where it is not `deployed`."""
        drifts = deployed and self.compile_seconds is not None
        half = self.half_noise if BF16 in plan.recipes else 0.0
        return float(sum(half if plan[op.id].is_float else op.noise + (op.drift if drifts else 0.0) for op in self.ops))

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
            return cls(**{**data, "ops": tuple(ToyOp(**op) for op in data["ops"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a toy model: {error}", where=str(path)) from error


def best_plan(model: ToyModel, allowed_noise: float) -> Plan:
    """The fastest plan within a noise limit, by trying all of them: the known answer. At most 20 ops."""
    fastest, best = Plan(), model.seconds(Plan())
    for states in itertools.product((False, True), repeat=len(model.ops)):
        precisions = {op.id: INT8 for op, quantized in zip(model.ops, states, strict=True) if quantized}
        for recipes in ((), *((r,) for r in model.recipes)):
            plan = Plan(precisions, recipes)
            if model.noise(plan) <= allowed_noise and model.seconds(plan) < best:
                fastest, best = plan, model.seconds(plan)
    return fastest
