"""What page and terminal say of the deployment gate, worked out before they place it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoq.core.deployed import Agreement, DeployedScore, Deployment, RuntimeResult
from autoq.core.interval import Interval
from autoq.report.text import counted, fixed, join, ratio_text, score

_TITLES = {"onnxrt": "ONNX Runtime", "openvino": "OpenVINO", "litert": "LiteRT"}

_VERDICTS = {
    Agreement.PASSED: "agrees",
    Agreement.DISAGREES: "disagrees",
    Agreement.NOT_SCORED: "not scored",
    Agreement.FAILED: "did not run",
}

_TONES = {Agreement.PASSED: "good", Agreement.DISAGREES: "bad", Agreement.NOT_SCORED: "", Agreement.FAILED: "bad"}

_MOST_OPS = 12


@dataclass(frozen=True)
class Place:
    """One score in one place: the framework, or a runtime.

    Attributes:
        name: ``fp32``, ``quantized``, or the runtime.
        score: The score.
        difference: Against the quantized model, with its interval; empty for the first two.
        within: Whether that is within the tolerance; None for the first two.
        low: Lower end of the difference's interval, in percent of a line.
        high: Its upper end.
        value: The difference.
    """

    name: str
    score: str
    difference: str = ""
    within: bool | None = None
    low: float = 0.0
    high: float = 0.0
    value: float = 0.0


@dataclass(frozen=True)
class ScoreTable:
    """One metric on one split, in every place it was scored.

    Attributes:
        metric: Name of the metric.
        split: Name of the split.
        samples: Samples scored.
        places: Framework first, then runtimes.
        left: Where minus the tolerance lies on the line of differences, in percent.
        right: Where the tolerance lies.
    """

    metric: str
    split: str
    samples: int
    places: tuple[Place, ...]
    left: float
    right: float


@dataclass(frozen=True)
class RuntimeRow:
    """One runtime: verdict and facts.

    Attributes:
        name: Its name and version.
        verdict: In a word or two.
        tone: Colour class of the verdict.
        coverage: How many quantized ops run in 8 bits there.
        speed: Latency relative to fp32 in the same runtime.
        outputs: How well outputs agree.
        diverging: The first op that differs, or empty.
        remarks: What else is to be known.
    """

    name: str
    verdict: str
    tone: str
    coverage: str
    speed: str
    outputs: str
    diverging: str
    remarks: tuple[str, ...]


def headline(found: Deployment) -> str:
    """The gate's answer in a sentence."""
    if found.failure:
        return f"The model could not be exported: {found.failure}"
    names = {state: [title(r) for r in found.runtimes if r.agreement is state] for state in Agreement}
    parts = []
    if names[Agreement.PASSED]:
        verb = "agrees" if len(names[Agreement.PASSED]) == 1 else "agree"
        parts.append(f"{join(names[Agreement.PASSED])} {verb} with the tuned model within {tolerance(found)}")
    if names[Agreement.DISAGREES]:
        verb = "differs" if len(names[Agreement.DISAGREES]) == 1 else "differ"
        parts.append(f"{join(names[Agreement.DISAGREES])} {verb} by more than {tolerance(found)}")
    if names[Agreement.FAILED]:
        parts.append(f"{join(names[Agreement.FAILED])} did not run the exported model")
    if names[Agreement.NOT_SCORED]:
        parts.append(f"{join(names[Agreement.NOT_SCORED])} could only be compared by outputs")
    if found.broken:
        parts.append(f"{counted(len(found.broken), 'place')} of the graph break rules of profile {found.profile}")
    elif found.rules:
        parts.append(f"the graph keeps all {len(found.rules)} rules of profile {found.profile}")
    return "; ".join(parts) + "."


def tables(found: Deployment) -> list[ScoreTable]:
    """Scores side by side, one table per metric and split."""
    keys = dict.fromkeys((s.split, s.metric) for r in found.runtimes for s in r.scores)
    return [_table(found, split, metric) for split, metric in keys]


def rows(found: Deployment) -> list[RuntimeRow]:
    """One per runtime."""
    return [_row(result) for result in found.runtimes]


def tolerance(found: Deployment) -> str:
    """Without needless zeros."""
    return f"{found.tolerance:g}"


def title(result: RuntimeResult) -> str:
    """A runtime's name for readers."""
    return _TITLES.get(result.runtime, result.runtime)


def op_lines(result: RuntimeResult) -> list[tuple[str, str, bool]]:
    """Op, agreement, and whether it is the first that differs: the ops around that one, in execution order."""
    ops = list(result.ops)
    first = next((i for i, op in enumerate(ops) if result.diverging is not None and op.op == result.diverging.op), 0)
    start = max(0, min(first - 3, len(ops) - _MOST_OPS))
    return [(op.op, decibels(op.sqnr), op == result.diverging) for op in ops[start : start + _MOST_OPS]]


def decibels(value: float | None) -> str:
    """``43.8 dB``; ``equal`` where there is no difference at all."""
    if value is None:
        return "–"
    if value == float("inf"):
        return "equal"
    return "nothing alike" if value == float("-inf") else f"{fixed(value, 1)} dB"


def lines(found: Deployment) -> list[str]:
    """For the terminal."""
    told = [f"deployment: {headline(found)}"]
    for table in tables(found):
        shown = ", ".join(f"{p.name} {p.score}{f' ({p.difference})' if p.difference else ''}" for p in table.places)
        told.append(f"  {table.metric} on {counted(table.samples, f'{table.split} sample')}: {shown}")
    for row in rows(found):
        facts = [row.coverage, row.speed, row.outputs, row.diverging, *row.remarks]
        told.append(f"  {row.name}: {'; '.join(fact for fact in facts if fact)}")
    told += [f"  rule {b.rule}, node {b.node or '(graph)'}: {b.message}" for b in found.broken[:_MOST_OPS]]
    if len(found.broken) > _MOST_OPS:
        told.append(f"  … and {len(found.broken) - _MOST_OPS} more, all in report.json")
    told += [f"  {note}" for note in found.notes]
    return told


def _table(found: Deployment, split: str, metric: str) -> ScoreTable:
    scored = [(r, s) for r in found.runtimes for s in r.scores if (s.split, s.metric) == (split, metric)]
    first = scored[0][1]
    reach = 1.08 * max(
        found.tolerance,
        *(abs(end) for _, s in scored for end in (s.difference.low, s.difference.high) if abs(end) != float("inf")),
        1e-9,
    )
    tuned = "quantized" if any(r.quantized_ops for r in found.runtimes) else "tuned"
    places = [Place("fp32", score(first.fp32)), Place(tuned, score(first.quantized))]
    places += [_place(title(r), s, found.tolerance, reach) for r, s in scored]
    ends = (_percent(-found.tolerance, reach), _percent(found.tolerance, reach))
    return ScoreTable(metric, split.replace("_", "-"), first.samples, tuple(places), *ends)


def _place(name: str, found: DeployedScore, tolerance: float, reach: float) -> Place:
    places = (_percent(x, reach) for x in (found.difference.low, found.difference.high, found.difference.value))
    return Place(name, score(found.deployed), _difference(found.difference), found.within(tolerance), *places)


def _percent(value: float, reach: float) -> float:
    return round(50 + 50 * max(-1.0, min(1.0, value / reach)), 2)


def _difference(found: Interval) -> str:
    if not abs(found.value) > 0:
        text = "no loss"
    else:
        text = f"{'loss' if found.value > 0 else 'gain'} {fixed(abs(found.value), 4)}"
    return f"{text} [{fixed(found.low, 4)}, {fixed(found.high, 4)}]"


def _row(result: RuntimeResult) -> RuntimeRow:
    coverage = ""
    if result.version and result.quantized_ops:
        coverage = f"{result.int8_ops} of {counted(result.quantized_ops, 'quantized op')} run in 8 bits"
    speed = f"{ratio_text(result.latency.ratio)} of fp32 there" if result.latency is not None else ""
    outputs = ""
    if result.sqnr is not None:
        outputs = f"outputs agree with the tuned model: {decibels(result.sqnr)}"
        outputs += f" (the tuned model with fp32: {decibels(result.noise)})"
    diverging = ""
    if result.diverging is not None:
        diverging = f"first op that differs: {result.diverging.op} ({decibels(result.diverging.sqnr)})"
    remarks = (result.failure, *result.notes) if result.failure else result.notes
    return RuntimeRow(
        f"{title(result)} {result.version}".strip(),
        _VERDICTS[result.agreement],
        _TONES[result.agreement],
        coverage,
        speed,
        outputs,
        diverging,
        tuple(remarks),
    )


def details(found: Deployment) -> Sequence[tuple[str, list[tuple[str, str, bool]]]]:
    """Ops of every runtime that was compared op by op."""
    return [(title(result), op_lines(result)) for result in found.runtimes if result.ops]
