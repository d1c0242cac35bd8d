"""What a route's capability.yaml says of the PyTorch that is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from autoq.adaptors.pytorch.execution import first_line
from autoq.core.errors import AutoqError, ModelError, TrialError
from autoq.core.precision import DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant

_DTYPE = {Scheme.ASYM: DType.UINT8, Scheme.SYM: DType.INT8}


@dataclass(frozen=True)
class OpSupport:
    """What the table says of one op type.

    Attributes:
        precisions: Best first, without fp32.
        inside: Only beside other int8 ops; the route says when.
        note: Why there are no precisions.
    """

    precisions: tuple[OpPrecision, ...]
    inside: bool = False
    note: str = ""


@dataclass(frozen=True)
class Support:
    """The table's part for one version range.

    Attributes:
        versions: The range, for `Capability.origin`.
        ops: By op type.
    """

    versions: str
    ops: Mapping[str, OpSupport]


@cache
def support(table: Path) -> Support:
    """The part of a table in which each op has lists ``static`` and ``dynamic``, and ``inside`` or ``float``.

    Raises:
        ModelError: PyTorch is older than all of its ranges.
    """
    entry = entry_for(table)
    return Support(entry["torch"], {name: _op_support(rule) for name, rule in entry["ops"].items()})


def entry_for(table: Path, version: str = str(torch.__version__)) -> Mapping[str, Any]:
    """The newest range of a table that fits a version of PyTorch.

    Raises:
        ModelError: The version is older than all of its ranges.
    """
    for entry in yaml.safe_load(table.read_text(encoding="utf-8")):
        if _numbers(version) >= _numbers(entry["torch"]):
            return entry  # type: ignore[no-any-return]
    raise ModelError(f"torch {version} is too old", hint="pip install 'autoq[pytorch]'")


def static(weight: str, observer: str, scheme: str) -> OpPrecision:
    """A static precision: granularity of the weight (``none`` for ops without one), and the activation's form."""
    kind = Scheme(scheme)
    activation = TensorQuant(_DTYPE[kind], kind, observer=Observer(observer))
    return OpPrecision(Mode.STATIC, None if weight == "none" else _weight(weight), activation)


def dynamic(weight: str) -> OpPrecision:
    """A dynamic precision with a weight of this granularity."""
    return OpPrecision(Mode.DYNAMIC, _weight(weight), TensorQuant(DType.UINT8, Scheme.ASYM))


@contextmanager
def told_as_trial() -> Iterator[None]:
    """What goes wrong in building a plan is that trial's failure: frameworks raise errors of every kind there."""
    try:
        yield
    except TrialError:
        raise
    except AutoqError as error:
        raise TrialError(error.message, where=error.where, hint=error.hint) from error
    except Exception as error:
        raise TrialError(f"the plan cannot be built: {type(error).__name__}: {first_line(error)}") from error


def _op_support(rule: Mapping[str, Any]) -> OpSupport:
    precisions = (*(static(*entry) for entry in rule.get("static", ())), *map(dynamic, rule.get("dynamic", ())))
    return OpSupport(precisions, bool(rule.get("inside")), str(rule.get("float", "")))


def _weight(granularity: str) -> TensorQuant:
    return TensorQuant(DType.INT8, Scheme.SYM, Granularity(granularity))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
