"""Hypothesis strategies for the vocabulary of autoq.core."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import strategies as st

from autoq.core.capability import Capability, CapabilityTable, Op, Recipe
from autoq.core.interval import Interval
from autoq.core.plan import LatencyEffort, Plan, Proposal
from autoq.core.precision import BF16, FP32, DType, Granularity, Mode, Observer, OpPrecision, Scheme, TensorQuant
from autoq.core.trial import Failure, FailureKind, Latency, MetricScore, Trial, TrialState

INTEGERS = [DType.INT4, DType.UINT4, DType.INT8, DType.UINT8, DType.INT16]

ids = st.text(min_size=1, max_size=8)
any_float = st.floats(width=64)


def strict_json(data: Any) -> Any:
    """Through real JSON, which has no infinity and no NaN."""
    return json.loads(json.dumps(data, allow_nan=False))


@st.composite
def tensor_quants(draw: st.DrawFn) -> TensorQuant:
    granularity = draw(st.sampled_from(Granularity))
    size = draw(st.sampled_from([1, 32, 128])) if granularity is Granularity.PER_GROUP else None
    return TensorQuant(
        draw(st.sampled_from(INTEGERS)),
        draw(st.sampled_from(Scheme)),
        granularity,
        draw(st.sampled_from(Observer)),
        size,
    )


@st.composite
def op_precisions(draw: st.DrawFn) -> OpPrecision:
    mode = draw(st.sampled_from(Mode))
    quants = tensor_quants()
    if mode is Mode.STATIC:
        return OpPrecision(mode, draw(st.none() | quants), draw(quants))
    if mode is Mode.DYNAMIC:
        return OpPrecision(mode, draw(quants), draw(st.none() | quants))
    if mode is Mode.WEIGHT_ONLY:
        return OpPrecision(mode, draw(quants))
    return OpPrecision(mode)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    finite = st.floats(allow_nan=False, allow_infinity=False)
    arguments = draw(st.dictionaries(ids, st.integers(2, 2**40) | finite.filter(lambda x: x not in (0, 1)) | st.text()))
    return Recipe(draw(ids), tuple(arguments.items()))


def plans() -> st.SearchStrategy[Plan]:
    return st.builds(
        Plan, st.dictionaries(ids, op_precisions(), max_size=5), st.lists(recipes(), max_size=2).map(tuple)
    )


@st.composite
def tables(draw: st.DrawFn) -> CapabilityTable:
    names = draw(st.lists(st.integers(0, 99).map(lambda i: f"op{i}"), min_size=1, max_size=6, unique=True))
    rows = []
    for name in names:
        listed = [p for p in draw(st.lists(op_precisions(), max_size=4, unique=True)) if p != FP32]
        group = draw(st.sampled_from([None, None, "group a", "group b"]))
        costs = draw(st.none() | st.floats(0.1, 9))
        marks = (costs,) * (len(listed) + 1) if draw(st.booleans()) else ()
        kind = draw(st.sampled_from(["Conv", "MatMul", "Add"]))
        rows.append(Capability(Op(name, kind), (*listed, FP32), group, draw(st.text()), marks, draw(st.text())))
    edges = draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=5))
    return CapabilityTable(tuple(rows), tuple(edges), tuple(draw(st.lists(recipes(), max_size=2))))


def intervals() -> st.SearchStrategy[Interval]:
    return st.builds(Interval, any_float, any_float, any_float, st.floats(0.5, 1))


def proposals() -> st.SearchStrategy[Proposal]:
    return st.builds(Proposal, plans(), st.none() | st.integers(1, 999), st.sampled_from(LatencyEffort), st.text())


def latencies() -> st.SearchStrategy[Latency]:
    return st.builds(Latency, any_float, any_float, intervals(), st.integers(1, 999))


def scores() -> st.SearchStrategy[MetricScore]:
    counts = st.integers(1, 10**6)
    return st.builds(MetricScore, ids, any_float, any_float, intervals(), st.floats(0, 1), st.booleans(), counts)


def trials() -> st.SearchStrategy[Trial]:
    counts = st.none() | st.integers(0, 2**40)
    return st.builds(
        Trial,
        st.integers(0, 999),
        proposals(),
        st.sampled_from(TrialState),
        st.lists(scores(), max_size=2).map(tuple),
        st.none() | latencies(),
        counts,
        counts,
        st.none() | any_float,
        st.dictionaries(ids, st.floats(0, 1e6), max_size=3),
        st.none() | plans(),
        st.none() | st.builds(Failure, st.sampled_from(FailureKind), st.text()),
        st.booleans(),
    )


def int8(*, weight: Granularity = Granularity.PER_CHANNEL, observer: Observer = Observer.MINMAX) -> OpPrecision:
    """Static u8s8, the usual precision of a Conv."""
    activation = TensorQuant(DType.UINT8, Scheme.ASYM, Granularity.PER_TENSOR, observer)
    return OpPrecision(Mode.STATIC, TensorQuant(DType.INT8, Scheme.SYM, weight), activation)


def dynamic() -> OpPrecision:
    """Dynamic u8s8."""
    weight = TensorQuant(DType.INT8, Scheme.SYM, Granularity.PER_CHANNEL)
    return OpPrecision(Mode.DYNAMIC, weight, TensorQuant(DType.UINT8, Scheme.ASYM))


def table_of(**types: str) -> CapabilityTable:
    """Ops by id and type in a chain; each has static minmax, static kl, dynamic, bf16 and fp32."""
    precisions = (int8(), int8(observer=Observer.KL), dynamic(), BF16, FP32)
    rows = tuple(Capability(Op(name, kind), precisions) for name, kind in types.items())
    names = list(types)
    return CapabilityTable(rows, tuple(itertools.pairwise(names)))
