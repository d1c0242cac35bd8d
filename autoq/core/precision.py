"""How one tensor, and one op, is quantized."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from autoq.core.errors import ConfigError


class DType(StrEnum):
    """Storage type of a tensor."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT4 = "int4"
    UINT4 = "uint4"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"

    @property
    def bits(self) -> int:
        """Width in bits."""
        return {"fp32": 32, "bf16": 16, "fp16": 16, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16}[self]


class Scheme(StrEnum):
    """Whether the grid is centred on zero (`sym`) or carries a zero point (`asym`)."""

    SYM = "sym"
    ASYM = "asym"


class Granularity(StrEnum):
    """How many scales one tensor has."""

    PER_TENSOR = "per_tensor"
    PER_CHANNEL = "per_channel"
    PER_GROUP = "per_group"


class Observer(StrEnum):
    """How a range is chosen from the statistics of a tensor."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    KL = "kl"
    MSE = "mse"


class Mode(StrEnum):
    """What an op runs in. `static`: ranges fixed by calibration; `dynamic`: ranges found at run time."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    STATIC = "static"
    DYNAMIC = "dynamic"
    WEIGHT_ONLY = "weight_only"


FLOAT_MODES = frozenset({Mode.FP32, Mode.BF16, Mode.FP16})


@dataclass(frozen=True, slots=True)
class TensorQuant:
    """How one tensor is quantized.

    Attributes:
        dtype: Integer type of the grid.
        scheme: Symmetric or asymmetric grid.
        granularity: One scale for the tensor, per output channel, or per group.
        observer: How its range is chosen. Weights usually use ``minmax``.
        group_size: Elements that share one scale; only with ``per_group``.
    """

    dtype: DType
    scheme: Scheme = Scheme.SYM
    granularity: Granularity = Granularity.PER_TENSOR
    observer: Observer = Observer.MINMAX
    group_size: int | None = None

    def __post_init__(self) -> None:
        if (self.granularity is Granularity.PER_GROUP) != (self.group_size is not None):
            raise ConfigError("group_size goes with granularity per_group, and only with it")
        if self.group_size is not None and self.group_size < 1:
            raise ConfigError(f"group_size must be positive, not {self.group_size}")

    @property
    def label(self) -> str:
        """Short text for tables, e.g. ``uint8 asym per_tensor minmax``."""
        return f"{self.dtype} {self.scheme} {_spread(self)} {self.observer}"

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        data: dict[str, Any] = {
            "dtype": str(self.dtype),
            "scheme": str(self.scheme),
            "granularity": str(self.granularity),
            "observer": str(self.observer),
        }
        if self.group_size is not None:
            data["group_size"] = self.group_size
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TensorQuant:
        """Rebuild from `to_json`."""
        return cls(
            DType(data["dtype"]),
            Scheme(data.get("scheme", "sym")),
            Granularity(data.get("granularity", "per_tensor")),
            Observer(data.get("observer", "minmax")),
            data.get("group_size"),
        )


@dataclass(frozen=True)
class OpPrecision:
    """What an op may run in: a mode, and how its weight and activation are quantized.

    Float modes have neither `weight` nor `activation`; ``static`` has an activation; ``weight_only``
    has only a weight; ``dynamic`` has a weight, and an activation whose observer is not used.
    """

    mode: Mode
    weight: TensorQuant | None = None
    activation: TensorQuant | None = None

    def __post_init__(self) -> None:
        if self.mode in FLOAT_MODES and (self.weight or self.activation):
            raise ConfigError(f"{self.mode} quantizes nothing, but a weight or activation quantization was given")
        if self.mode is Mode.STATIC and self.activation is None:
            raise ConfigError("static quantization needs an activation quantization")
        if self.mode is Mode.WEIGHT_ONLY and self.activation is not None:
            raise ConfigError("weight_only leaves activations in float, but an activation quantization was given")
        if self.mode in (Mode.DYNAMIC, Mode.WEIGHT_ONLY) and self.weight is None:
            raise ConfigError(f"{self.mode} quantization needs a weight quantization")

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Tables of thousands of ops hash the same few precisions over and over.
        return hash((self.mode, self.weight, self.activation))

    def __reduce__(self) -> tuple[type[OpPrecision], tuple[Mode, TensorQuant | None, TensorQuant | None]]:
        # Without the hash: every process hashes text in its own way.
        return OpPrecision, (self.mode, self.weight, self.activation)

    @property
    def is_float(self) -> bool:
        """True for fp32, bf16 and fp16."""
        return self.mode in FLOAT_MODES

    @cached_property
    def label(self) -> str:
        """Short text that tells precisions apart, e.g. ``static u8s8 per_channel percentile``.

        Equal labels mean equal precisions, but for the observer of a dynamic activation, which is not used.
        """
        if self.is_float:
            return str(self.mode)
        parts = [str(self.mode)]
        types = "".join(_SHORT[t.dtype] for t in (self.activation, self.weight) if t is not None)
        parts.append(types)
        if self.weight is not None:
            parts.append(_spread(self.weight))
        if self.mode is Mode.STATIC and self.activation is not None:
            parts.append(str(self.activation.observer))
        if self.activation is not None:
            if self.activation.scheme is Scheme.SYM:
                parts.append("sym")
            if self.activation.granularity is not Granularity.PER_TENSOR:
                parts.append(f"activation {_spread(self.activation)}")
        if self.weight is not None:
            # What nearly all weights are goes without saying.
            if self.weight.scheme is Scheme.ASYM:
                parts.append("weight asym")
            if self.weight.observer is not Observer.MINMAX:
                parts.append(f"weight {self.weight.observer}")
        return " ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the inverse of `from_json`."""
        data: dict[str, Any] = {"mode": str(self.mode)}
        if self.weight is not None:
            data["weight"] = self.weight.to_json()
        if self.activation is not None:
            data["activation"] = self.activation.to_json()
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> OpPrecision:
        """Rebuild from `to_json`."""
        weight, activation = data.get("weight"), data.get("activation")
        return cls(
            Mode(data["mode"]),
            TensorQuant.from_json(weight) if weight else None,
            TensorQuant.from_json(activation) if activation else None,
        )


def _spread(quant: TensorQuant) -> str:
    return f"{quant.granularity}({quant.group_size})" if quant.group_size else str(quant.granularity)


_SHORT = {
    DType.FP32: "f32",
    DType.BF16: "bf16",
    DType.FP16: "f16",
    DType.INT4: "s4",
    DType.UINT4: "u4",
    DType.INT8: "s8",
    DType.UINT8: "u8",
    DType.INT16: "s16",
}

FP32 = OpPrecision(Mode.FP32)
BF16 = OpPrecision(Mode.BF16)
