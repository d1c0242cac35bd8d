"""Settings that are right one by one and wrong together."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoq.config.model_kind import SAVED_MODEL, kind_of_name
from autoq.config.positions import KeyPath, dotted
from autoq.config.schema import Job, OpRules
from autoq.core.deployment import FORMATS, runtimes_of
from autoq.core.file_format import FileFormat
from autoq.core.function import is_function_name
from autoq.core.precision import DType, Mode
from autoq.core.registry import ADAPTORS, AUTO, DYNAMIC, STATIC, WEIGHT_ONLY, strategy_factory
from autoq.core.suggest import did_you_mean

MODES: Mapping[str, tuple[Mode, ...]] = {
    STATIC: (Mode.STATIC,),
    DYNAMIC: (Mode.DYNAMIC,),
    WEIGHT_ONLY: (Mode.WEIGHT_ONLY,),
    AUTO: (Mode.STATIC, Mode.DYNAMIC, Mode.WEIGHT_ONLY),
}
"""The modes an approach allows; float is always allowed beside them."""

_FLOAT = {DType.FP32, DType.BF16, DType.FP16}
_FLOAT_MODES = {Mode.FP32, Mode.BF16, Mode.FP16}

_COUNTS = {"int", "int | None"}
"""Types of options that count something: samples, trials, plans."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two settings that contradict each other.

    Attributes:
        path: Leads to the one to change.
        message: What contradicts what.
        hint: What to write instead.
        of_key: Whether the key is wrong, and not its value.
    """

    path: KeyPath
    message: str
    hint: str
    of_key: bool = False


def conflicts(job: Job) -> Iterator[Conflict]:
    """Everything that contradicts itself in a valid job."""
    yield from _model(job)
    yield from _approach(job)
    yield from _op_rules(job)
    yield from _metrics(job)
    yield from _tuning(job)
    yield from _runner(job)
    yield from _deployment(job)


def _model(job: Job) -> Iterator[Conflict]:
    """Keys that would be read by nobody, and files of another framework."""
    yield from _wrong_kind(job)
    yield from _signature(job)
    model = job.model
    torch = ADAPTORS[model.framework].extra == "pytorch"
    made = torch or model.framework in SAVED_MODEL.frameworks
    if made and model.arguments and model.path is not None and not is_function_name(model.path):
        yield Conflict(
            ("model", "arguments"),
            f"model.arguments are those of a factory, and model.path '{model.path}' is a file",
            "write path: package.module:factory, or leave the arguments out",
            of_key=True,
        )
    unread = {"weights": None if torch else model.weights, "arguments": None if made else model.arguments}
    for key, value in unread.items():
        if value:
            yield Conflict(
                ("model", key),
                f"model.{key} is not read by framework {model.framework}, whose models hold everything",
                f"leave {key} out",
                of_key=True,
            )


def _wrong_kind(job: Job) -> Iterator[Conflict]:
    path, framework = job.model.path, job.model.framework
    kind = kind_of_name(path) if path is not None and not is_function_name(path) else None
    if kind is not None and framework not in (*kind.frameworks, "toy"):
        yield Conflict(
            ("model", "framework"),
            f"model.path '{path}' is {kind.title}, which framework {framework} does not read",
            f"write framework: {' or '.join(kind.frameworks)}",
        )


def _signature(job: Job) -> Iterator[Conflict]:
    model = job.model
    if model.signature is None:
        return
    kind = kind_of_name(model.path) if model.path is not None else None
    if model.framework not in SAVED_MODEL.frameworks:
        message = f"model.signature is for TensorFlow models, and framework {model.framework} has none"
    elif kind is not None and not kind.signatures:
        message = f"model.signature is for SavedModels and .tflite files, and '{model.path}' is {kind.title}"
    else:
        return
    yield Conflict(("model", "signature"), message, "leave signature out", of_key=True)


def _approach(job: Job) -> Iterator[Conflict]:
    framework, approach = job.model.framework, job.quantization.approach
    able = ADAPTORS[framework].approaches
    if approach not in able:
        others = [name for name, entry in ADAPTORS.items() if approach in entry.approaches and name != "toy"]
        given = "approach" in job.quantization.model_fields_set
        yield Conflict(
            ("quantization", "approach") if given else ("model", "framework"),
            f"framework {framework} cannot do {approach}{'' if given else ', the default approach'}",
            f"write approach: {' or '.join(able)}; {approach} is done by {' and '.join(others)}",
        )


def _op_rules(job: Job) -> Iterator[Conflict]:
    quantization = job.quantization
    sections: list[tuple[KeyPath, OpRules]] = [(("quantization", "model_wise"), quantization.model_wise)]
    sections += [(("quantization", "optype_wise", k), v) for k, v in quantization.optype_wise.items()]
    sections += [(("quantization", "op_wise", k), v) for k, v in quantization.op_wise.items()]
    allowed = MODES[quantization.approach]
    for path, rules in sections:
        for mode in rules.modes or ():
            if mode not in allowed and mode not in _FLOAT_MODES:
                yield Conflict(
                    (*path, "modes"),
                    f"{dotted(path)} asks for mode {mode}, which approach {quantization.approach} does not have",
                    f"it has {', '.join(allowed)}; {AUTO} has {', '.join(MODES[AUTO])}",
                )
        only_float = [d for d in (rules.weight.dtype, rules.activation.dtype) if d and set(d) <= _FLOAT]
        if rules.fallback is False and (only_float or (rules.modes and set(rules.modes) <= _FLOAT_MODES)):
            yield Conflict(
                (*path, "fallback"),
                f"{dotted(path)} forbids float (fallback: false) and asks for nothing else",
                "leave fallback out, or allow an integer type",
            )


def _metrics(job: Job) -> Iterator[Conflict]:
    accuracy = job.evaluation.accuracy
    given = [(m.name, m.arguments) for m in accuracy.metric] if accuracy else []
    for index, metric in enumerate(given):
        if metric in given[:index]:
            yield Conflict(
                ("evaluation", "accuracy", "metric", index),
                f"the metric {metric[0]} is given twice with the same arguments",
                "keep one of them",
            )


def _tuning(job: Job) -> Iterator[Conflict]:
    tuning = job.tuning
    if tuning.objectives is not None and "objective" in tuning.model_fields_set:
        yield Conflict(("tuning", "objective"), "both objective and objectives are given", "keep one of them")
    options = tuning.strategy.options
    if options:
        known = _option_types(tuning.strategy.name)
        for key, value in options.items():
            wanted = (known or {}).get(key, "")
            # A truth value is a whole number to Python, not to the reader of a job.
            if wanted in _COUNTS and (type(value) is not int or value < 0) and not (value is None and "None" in wanted):
                yield Conflict(
                    ("tuning", "strategy", key),
                    f"tuning.strategy.{key} must be a whole number, 0 or more, not {value!r}",
                    "docs/search.md lists the options of every strategy",
                )
            if known is not None and key not in known:
                yield Conflict(
                    ("tuning", "strategy", key),
                    f"strategy {tuning.strategy.name} has no option '{key}'",
                    did_you_mean(key, known),
                    of_key=True,
                )


def _option_types(strategy: str) -> dict[str, str] | None:
    """The options a strategy takes, with their types as written; None when it takes any."""
    parameters = inspect.signature(strategy_factory(strategy)).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    options = [p for p in parameters if p.name not in ("space", "costs", "seed")]
    return {
        p.name: p.annotation if isinstance(p.annotation, str) else inspect.formatannotation(p.annotation)
        for p in options
    }


def _deployment(job: Job) -> Iterator[Conflict]:
    deployment, approach, framework = job.deployment, job.quantization.approach, job.model.framework
    if deployment is None:
        return
    able = runtimes_of(framework)
    if not able:
        yield Conflict(
            ("deployment",),
            f"framework {framework} cannot export its models",
            "leave the section deployment out",
            of_key=True,
        )
        return
    formats = " and ".join(FileFormat(name).label for name in ADAPTORS[framework].exports)
    for index, runtime in enumerate(deployment.runtimes or ()):
        if runtime not in able:
            yield Conflict(
                ("deployment", "runtimes", index),
                f"runtime {runtime} reads {FORMATS[runtime].label} models, and framework {framework} exports {formats}",
                f"framework {framework} goes with: {', '.join(able)}",
            )
    for key, value in (("profile", deployment.profile), ("opset", deployment.opset)):
        if value is not None and FileFormat.ONNX not in ADAPTORS[framework].exports:
            yield Conflict(
                ("deployment", key),
                f"deployment.{key} is for ONNX models, and framework {framework} exports {formats}",
                f"leave {key} out",
                of_key=True,
            )
            return
    if deployment.profile is not None and Mode.STATIC not in MODES[approach]:
        yield Conflict(
            ("deployment", "profile"),
            f"profile {deployment.profile} takes ranges fixed by calibration, and approach {approach} has none",
            f"write approach: {STATIC}, or leave the profile out",
        )


def _runner(job: Job) -> Iterator[Conflict]:
    limits: dict[str, Any] = {"memory": job.runner.memory, "timeout": job.runner.timeout}
    for key, value in limits.items():
        if job.runner.kind == "in_process" and value is not None:
            yield Conflict(
                ("runner", key),
                f"runner.{key} cannot be enforced inside this process",
                "write kind: subprocess, or leave the limit out",
            )
