"""Deployment profiles: what a runtime takes, as rules over the capability table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoq.core.capability import Capability, CapabilityTable
from autoq.core.precision import DType, Granularity, Mode, OpPrecision, Scheme
from autoq.core.space import OpRule, TensorRule


@dataclass(frozen=True)
class Profile:
    """What the runtime of one kind of device takes.

    Attributes:
        name: Its name in a job.
        rule: What weights and activations may be.
        types: Op types it runs in 8 bits, by the names all adaptors use; None for all.
        summary: In one sentence.
    """

    name: str
    rule: OpRule
    types: frozenset[str] | None
    summary: str

    def narrow(self, row: Capability) -> Capability:
        """A row with what this profile takes of it; float always stays."""
        kept = [i for i, p in enumerate(row.precisions) if p.is_float or (self._takes(row.op.type) and self._holds(p))]
        costs = tuple(row.costs[i] for i in kept) if row.costs else ()
        return replace(row, precisions=tuple(row.precisions[i] for i in kept), costs=costs)

    def restrict(self, table: CapabilityTable) -> CapabilityTable:
        """A table with what this profile takes of it."""
        return CapabilityTable(
            tuple(self.narrow(row) for row in table), table.edges, table.recipes, table.float_recipes
        )

    def _takes(self, op_type: str) -> bool:
        return self.types is None or op_type in self.types

    def _holds(self, precision: OpPrecision) -> bool:
        return bool(self.rule.narrow((precision,)))


_CONVOLUTIONS = frozenset({"Conv", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose", "ConvTranspose1d", "ConvTranspose2d"})
_PRODUCTS = frozenset({"Linear", "Gemm", "MatMul"})

PROFILES: Mapping[str, Profile] = {
    "openvino": Profile(
        "openvino",
        OpRule(
            weight=TensorRule((DType.INT8,), (Scheme.SYM,), (Granularity.PER_CHANNEL,)),
            activation=TensorRule((DType.UINT8,), (Scheme.ASYM,), (Granularity.PER_TENSOR,)),
            modes=(Mode.STATIC,),
        ),
        None,
        "weights int8 symmetric per channel, activations uint8 asymmetric per tensor, ranges fixed by calibration",
    ),
    "tensorrt": Profile(
        "tensorrt",
        OpRule(
            weight=TensorRule((DType.INT8,), (Scheme.SYM,), (Granularity.PER_CHANNEL,)),
            activation=TensorRule((DType.INT8,), (Scheme.SYM,), (Granularity.PER_TENSOR,)),
            modes=(Mode.STATIC,),
        ),
        _CONVOLUTIONS | _PRODUCTS | {"Add", "AveragePool", "AvgPool2d", "GlobalAveragePool", "AdaptiveAvgPool2d"},
        "weights int8 symmetric per channel, activations int8 symmetric per tensor, no zero points",
    ),
}
"""Profiles by name."""
