"""Which adaptors and strategies exist: one line each, loaded when used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from autoq.core.errors import ConfigError, MissingDependencyError
from autoq.core.suggest import did_you_mean

if TYPE_CHECKING:
    from autoq.core.adaptor import Adaptor
    from autoq.core.strategy import StrategyFactory


@dataclass(frozen=True, slots=True)
class AdaptorEntry:
    """Where an adaptor lives.

    Attributes:
        target: ``module:callable`` that makes it, without arguments.
        extra: The extra that installs its framework: ``pip install autoq[extra]``.
        summary: One line for `autoq doctor` and `autoq init`.
        approaches: What it can do, the usual one first.
        exports: Formats its plans can be written as for deployment, by name of `FileFormat`.
    """

    target: str
    extra: str
    summary: str
    approaches: tuple[str, ...]
    exports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """Where a strategy lives, one line about it, and whether it goes on until a budget ends it."""

    target: str
    summary: str
    endless: bool = False


STATIC = "post_training_static_quant"
DYNAMIC = "post_training_dynamic_quant"
AUTO = "post_training_auto_quant"
WEIGHT_ONLY = "weight_only"

_ONNXRT = "autoq.adaptors.onnxrt.adaptor"
_ONNX, _TFLITE = ("onnx",), ("tflite",)

ADAPTORS: Mapping[str, AdaptorEntry] = {
    "onnxrt_qdq": AdaptorEntry(f"{_ONNXRT}:qdq", "onnxrt", "ONNX Runtime, static, QDQ format", (STATIC, AUTO), _ONNX),
    "onnxrt_qlinearops": AdaptorEntry(
        f"{_ONNXRT}:qlinearops", "onnxrt", "ONNX Runtime, static, QOperator format", (STATIC, AUTO), _ONNX
    ),
    "onnxrt_integerops": AdaptorEntry(f"{_ONNXRT}:integerops", "onnxrt", "ONNX Runtime, dynamic", (DYNAMIC,), _ONNX),
    "openvino": AdaptorEntry(
        "autoq.adaptors.openvino.adaptor:OpenVinoAdaptor",
        "openvino",
        "OpenVINO CPU runtime, ONNX models, static",
        (STATIC, AUTO),
        _ONNX,
    ),
    "pytorch_fx": AdaptorEntry(
        "autoq.adaptors.pytorch_fx.adaptor:FxAdaptor",
        "pytorch",
        "PyTorch, FX graph mode: functionals included",
        (STATIC, DYNAMIC, AUTO),
        _ONNX,
    ),
    "pytorch_eager": AdaptorEntry(
        "autoq.adaptors.pytorch_eager.adaptor:EagerAdaptor",
        "pytorch",
        "PyTorch modules, each quantized on its own, static and dynamic",
        (STATIC, DYNAMIC, AUTO),
        _ONNX,
    ),
    "pytorch_pt2e": AdaptorEntry(
        "autoq.adaptors.pytorch_pt2e.adaptor:Pt2eAdaptor",
        "pytorch",
        "PyTorch graphs of torch.export, compiled ahead of time",
        (STATIC, DYNAMIC, AUTO),
        _ONNX,
    ),
    "tensorflow": AdaptorEntry(
        "autoq.adaptors.tensorflow.adaptor:TensorFlowAdaptor",
        "tensorflow",
        "TensorFlow: Keras, SavedModel and frozen graphs on oneDNN's 8-bit kernels, static",
        (STATIC, AUTO),
        _TFLITE,
    ),
    "tensorflow_lite": AdaptorEntry(
        "autoq.adaptors.tensorflow_lite.adaptor:LiteRtAdaptor",
        "tensorflow-lite",
        "LiteRT: .tflite, Keras and SavedModel, static, dynamic and weight-only",
        (STATIC, DYNAMIC, WEIGHT_ONLY, AUTO),
        _TFLITE,
    ),
    "toy": AdaptorEntry(
        "autoq.testing.toy:ToyAdaptor",
        "",
        "a pure NumPy model with a known answer, for tests",
        (STATIC, DYNAMIC, AUTO),
    ),
}

STRATEGIES: Mapping[str, StrategyEntry] = {
    "auto": StrategyEntry(
        "autoq.strategies.auto:Auto", "the default: finds out what kind of problem a model is, and uses what suits it"
    ),
    "basic": StrategyEntry("autoq.strategies.basic:Basic", "fully quantized, then fallback in regions by impact"),
    "conservative": StrategyEntry(
        "autoq.strategies.conservative:Conservative", "from fp32 up, every step within the limit"
    ),
    "mse": StrategyEntry("autoq.strategies.mse:Mse", "fallback by each op's own error on calibration data"),
    "mse_v2": StrategyEntry(
        "autoq.strategies.mse_v2:MseV2", "fallback by measured effect on the output, measured anew after each step"
    ),
    "hawq_v2": StrategyEntry("autoq.strategies.hawq_v2:HawqV2", "fallback by Hessian trace, PyTorch only"),
    "random": StrategyEntry(
        "autoq.strategies.random:Random", "uniform over the space, never the same plan twice", endless=True
    ),
    "bayesian": StrategyEntry(
        "autoq.strategies.bayesian:Bayesian", "cut points by sensitivity and position (Optuna), then refined op by op"
    ),
    "tpe": StrategyEntry(
        "autoq.strategies.tpe:Tpe", "Optuna's TPE over the precision of every op, for comparison", endless=True
    ),
    "ilp": StrategyEntry(
        "autoq.strategies.ilp:Ilp", "integer programmes on an additive model, corrected by trials (SciPy)"
    ),
    "pareto": StrategyEntry(
        "autoq.strategies.pareto:Pareto", "several objectives: the front of plans within the limit (integer programmes)"
    ),
    "exhaustive": StrategyEntry("autoq.strategies.exhaustive:Exhaustive", "every plan of a small space"),
}


def make_adaptor(framework: str) -> Adaptor[Any]:
    """The adaptor of a framework.

    Raises:
        ConfigError: No adaptor of that name.
        MissingDependencyError: Its framework is not installed, or cannot be imported.
    """
    if framework not in ADAPTORS:
        raise ConfigError(f"unknown framework '{framework}'", hint=did_you_mean(framework, ADAPTORS))
    entry = ADAPTORS[framework]
    try:
        return cast("Adaptor[Any]", _load(entry.target)())
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "autoq":
            raise
        missing = isinstance(error, ModuleNotFoundError)
        option = "" if missing else "--force-reinstall "
        raise MissingDependencyError(
            f"framework '{framework}' needs the package '{error.name}', which is not installed"
            if missing
            else f"the package of framework '{framework}' is installed but cannot be imported: {error}",
            hint=f"pip install {option}'autoq[{entry.extra}]'",
        ) from error


def strategy_factory(name: str) -> StrategyFactory:
    """The factory of a strategy.

    Raises:
        ConfigError: No strategy of that name.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"unknown strategy '{name}'", hint=did_you_mean(name, STRATEGIES))
    return cast("StrategyFactory", _load(STRATEGIES[name].target))


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
