"""Toy models: a chain of ops whose time and noise under a plan are known, and so is the best plan.

An int8 op adds its `noise` to one score and takes its own time; every change between float and int8 along the chain
costs a conversion.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autoq.core.batch import TensorSpec
from autoq.core.capability import Recipe
from autoq.core.digest import digest_of
from autoq.core.errors import ModelError
from autoq.core.plan import Plan
from autoq.core.precision import FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

INT8 = OpPrecision(
    Mode.STATIC,
    TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL, Observer.MINMAX),
    TensorQuant(DType.UINT8, Scheme.ASYM, Granularity.PER_TENSOR, Observer.MINMAX),
)
"""The quantized precision of every toy op."""

VARIANTS: Mapping[str, OpPrecision] = {
    "per_tensor": OpPrecision(
        Mode.STATIC,
        TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_TENSOR, Observer.MINMAX),
        TensorQuant(DType.UINT8, Scheme.ASYM, Granularity.PER_TENSOR, Observer.MINMAX),
    ),
    "dynamic": OpPrecision(
        Mode.DYNAMIC,
        TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL, Observer.MINMAX),
        TensorQuant(DType.UINT8, Scheme.ASYM, Granularity.PER_TENSOR, Observer.MINMAX),
    ),
}
"""Further precisions a toy op may have, by name."""

BF16 = Recipe("bf16")
"""Float ops run faster and noisier; offered where a model has `ToyModel.half_speed`."""

EAGER = Recipe("eager")
"""Float without compiling, at twice the time; offered where a model is compiled."""

MARGIN = TensorSpec("margin", "float32", (None, 1))
"""What toy models take: how much noise a sample bears."""

_EAGER_SLOWNESS = 2.0


@dataclass(frozen=True)
class ToyVariant:
    """A further precision of a toy op: its name in `VARIANTS`, the noise it adds and the time it takes."""

    name: str
    noise: float
    seconds: float


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
        variants: What else it may run in, besides int8 and float.
    """

    id: str
    type: str = "Linear"
    noise: float = 0.0
    float_seconds: float = 0.002
    int8_seconds: float = 0.001
    group: str | None = None
    fault: str | None = None
    drift: float = 0.0
    variants: tuple[ToyVariant, ...] = ()

    @property
    def precisions(self) -> tuple[OpPrecision, ...]:
        """int8, the variants, float."""
        return (INT8, *(VARIANTS[v.name] for v in self.variants), FP32)

    def noise_in(self, precision: OpPrecision) -> float:
        """What it adds to the output in a quantized precision."""
        return next((v.noise for v in self.variants if VARIANTS[v.name] == precision), self.noise)

    def seconds_in(self, precision: OpPrecision) -> float:
        """Its time in a precision, without conversions."""
        if precision.is_float:
            return self.float_seconds
        return next((v.seconds for v in self.variants if VARIANTS[v.name] == precision), self.int8_seconds)


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
            op.seconds_in(plan[op.id]) if quantized else speed * op.float_seconds
            for op, quantized in zip(self.ops, states[1:], strict=False)
        )
        spent += self.conversion_seconds * sum(a != b for a, b in itertools.pairwise(states))
        return _EAGER_SLOWNESS * spent if EAGER in plan.recipes else spent

    def noise(self, plan: Plan, *, deployed: bool = True) -> float:
        """Noise of a plan that is realized as asked; that of its reference where it is not `deployed`."""
        drifts = deployed and self.compile_seconds is not None
        half = self.half_noise if BF16 in plan.recipes else 0.0
        asked = ((op, plan[op.id]) for op in self.ops)
        return float(sum(half if p.is_float else op.noise_in(p) + (op.drift if drifts else 0.0) for op, p in asked))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ToyModel:
        """Rebuild from the dictionary that `dataclasses.asdict` makes."""
        variants = [tuple(ToyVariant(**v) for v in op.get("variants", ())) for op in data["ops"]]
        ops = tuple(ToyOp(**{**op, "variants": v}) for op, v in zip(data["ops"], variants, strict=True))
        return cls(**{**data, "ops": ops})

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
            return cls.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a toy model: {error}", where=str(path)) from error


def best_plan(model: ToyModel, allowed_noise: float) -> Plan:
    """The fastest plan within a noise limit, by trying all of them: the known answer. At most 20 ops."""
    fastest, best = Plan(), model.seconds(Plan())
    for chosen in itertools.product(*(op.precisions for op in model.ops)):
        precisions = {op.id: precision for op, precision in zip(model.ops, chosen, strict=True)}
        for recipes in ((), *((r,) for r in model.recipes)):
            plan = Plan(precisions, recipes)
            if model.noise(plan) <= allowed_noise and model.seconds(plan) < best:
                fastest, best = plan, model.seconds(plan)
    return fastest
