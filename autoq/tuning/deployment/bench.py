"""The deployment gate's tasks, done beside the model: export, score elsewhere, measure, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoq.core.adaptor import Adaptor, Candidate, RunOptions
from autoq.core.agreement import sqnr, worst
from autoq.core.batch import Array, Batch, Inputs, Outputs
from autoq.core.deployed import OpAgreement
from autoq.core.deployment import RUNTIMES, Deploying, Exporting, ExportingTflite
from autoq.core.deployment_task import (
    CompareDeployed,
    DeployedCompared,
    DeployedMeasured,
    DeployedScored,
    DeploymentAnswer,
    DeploymentTask,
    Export,
    Exported,
    MeasureDeployed,
    ScoreDeployed,
)
from autoq.core.errors import TrialError, UnsupportedError
from autoq.core.file_format import FileFormat
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.registry import make_adaptor
from autoq.core.runner import ProgressListener
from autoq.core.statistics import Calibration
from autoq.core.task import Progress, Split
from autoq.core.trial import Latency
from autoq.data.source import DataSource
from autoq.tuning.scorer import Scorer, told_as

_COMPARED = 16
"""Samples that outputs are compared on."""


@dataclass(frozen=True)
class Access:
    """What the bench uses of the place where the model lives.

    Attributes:
        framework: Name of the adaptor.
        adaptor: It.
        model: The loaded model.
        calibration: Gives the statistics, or None where there are none.
        batches: Gives the calibration samples; none where nothing was calibrated.
        candidate: Builds a plan in its deployed form, or gives it back.
        reference: The same without compiling it.
        scorer: Scores candidates.
        samples: Data that latency is measured with.
        inputs: Gives the inputs that latency is measured with.
        interleave: Measures runs by name against the run of the second argument.
        options: How inference runs.
    """

    framework: str
    adaptor: Adaptor[Any]
    model: Any
    calibration: Callable[[], Calibration | None]
    batches: Callable[[], Iterable[Batch]]
    candidate: Callable[[Plan], Candidate]
    reference: Callable[[Plan], Candidate]
    scorer: Scorer
    samples: DataSource | None
    inputs: Callable[[], Inputs]
    interleave: Callable[[Mapping[str, Callable[[], object]], str], Mapping[str, Latency]]
    options: RunOptions


class DeploymentBench:
    """Does the gate's tasks. Whatever they raise is that task's failure."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def handle(self, task: DeploymentTask, progress: ProgressListener) -> DeploymentAnswer:
        """Do one task."""
        match task:
            case Export():
                return self._export(task)
            case ScoreDeployed():
                return self._score(task, progress)
            case MeasureDeployed():
                return self._measure(task)
            case CompareDeployed():
                return self._compare(task)

    def _export(self, task: Export) -> Exported:
        access, file = self._access, Path(task.file)
        file.parent.mkdir(parents=True, exist_ok=True)
        calibration = access.calibration() if len(task.plan) else None
        adaptor: object = access.adaptor
        if task.settings.format is FileFormat.ONNX and isinstance(adaptor, Exporting):
            model = adaptor.export_onnx(access.model, task.plan, calibration, file, task.settings)
        elif task.settings.format is FileFormat.TFLITE and isinstance(adaptor, ExportingTflite):
            model = adaptor.export_tflite(access.model, task.plan, calibration, access.batches, file)
        else:
            raise UnsupportedError(
                f"framework {access.framework} cannot export its models as {task.settings.format.label}",
                hint="leave the section deployment out",
            )
        size = sum(path.stat().st_size for path in (file, file.with_suffix(".data")) if path.exists())
        return Exported(model, size)

    def _score(self, task: ScoreDeployed, progress: ProgressListener) -> DeployedScored:
        adaptor, file = runtime_adaptor(task.runtime), task.exported.file
        candidate = adaptor.load_artifact(file, self._access.options)
        try:
            with told_as(f"evaluation data ({task.split.replace('_', '-')} split)"):
                records = self._access.scorer.score(
                    candidate,
                    Split(task.split),
                    0,
                    task.samples,
                    lambda done, total: progress(Progress("deployment", done, total)),
                )
        finally:
            candidate.close()
        found = _deploying(adaptor, task.runtime).coverage(file, self._access.options)
        int8 = tuple(o.op for o in task.exported.ops if o.quantized and o.node in found.nodes)
        return DeployedScored(records, int8, found.version, found.notes)

    def _measure(self, task: MeasureDeployed) -> DeployedMeasured:
        adaptor, inputs = runtime_adaptor(task.runtime), self._access.inputs()
        models = {
            name: adaptor.load_artifact(Path(file), self._access.options)
            for name, file in (("fp32", task.float_file), ("deployed", task.file))
        }
        try:
            runs = {name: _run(model, inputs) for name, model in models.items()}
            return DeployedMeasured(self._access.interleave(runs, "fp32")["deployed"])
        finally:
            for model in models.values():
                model.close()

    # -- comparing ---------------------------------------------------------------------------------------------

    def _compare(self, task: CompareDeployed) -> DeployedCompared:
        access, adaptor = self._access, runtime_adaptor(task.runtime)
        batches = self._batches()
        quantized = self._outputs(access.candidate(task.plan), batches)
        fp32 = self._outputs(access.reference(FP32_PLAN), batches)
        candidate = adaptor.load_artifact(task.exported.file, access.options)
        try:
            deployed = self._outputs(candidate, batches)
        finally:
            candidate.close()
        agreed, noise = worst(quantized, deployed), worst(fp32, quantized)
        if not task.by_op:
            return DeployedCompared(agreed, noise)
        return self._by_op(task, adaptor, batches[0], agreed, noise, access.candidate(task.plan))

    def _by_op(
        self,
        task: CompareDeployed,
        adaptor: Adaptor[Any],
        inputs: Inputs,
        agreed: float,
        noise: float,
        candidate: Candidate,
    ) -> DeployedCompared:
        access, exported = self._access, task.exported
        outputs = candidate.predict(inputs)
        tensors = list(dict.fromkeys([*(o.tensor for o in exported.ops), *outputs]))
        expected = self._expected(task, tensors, inputs)
        found = _deploying(adaptor, task.runtime).run_tensors(exported.file, tensors, inputs, access.options)
        ops = tuple(
            OpAgreement(o.op, sqnr(expected[o.tensor], found[o.tensor]))
            for o in exported.ops
            if o.tensor in expected and o.tensor in found
        )
        kernels = worst(outputs, {name: expected[name] for name in outputs if name in expected})
        return DeployedCompared(agreed, noise, kernels, ops)

    def _expected(self, task: CompareDeployed, tensors: Sequence[str], inputs: Inputs) -> Mapping[str, Array]:
        access = self._access
        calibration = access.calibration() if len(task.plan) else None
        adaptor: object = access.adaptor
        if not isinstance(adaptor, Exporting | ExportingTflite):
            raise UnsupportedError(f"framework {access.framework} cannot tell what the tensors of a file should hold")
        return adaptor.exported_tensors(access.model, task.plan, calibration, task.exported, tensors, inputs)

    def _batches(self) -> list[Inputs]:
        source = self._access.samples
        found = [batch.inputs for batch in source.batches(0, _COMPARED)] if source is not None else []
        return found or [self._access.inputs()]

    @staticmethod
    def _outputs(candidate: Candidate, batches: Sequence[Inputs]) -> Outputs:
        results = [candidate.predict(inputs) for inputs in batches]
        joined: dict[str, Array] = {}
        for name in results[0]:
            parts = [np.ravel(r[name]) for r in results]
            joined[name] = np.concatenate(parts)
        return joined


def runtime_adaptor(runtime: str) -> Adaptor[Any]:
    """The adaptor that runs exported files in a runtime.

    Raises:
        MissingDependencyError: The runtime is not installed.
    """
    return make_adaptor(RUNTIMES[runtime])


def _deploying(adaptor: object, runtime: str) -> Deploying:
    if not isinstance(adaptor, Deploying):
        raise TrialError(f"the adaptor of {runtime} does not run files that others exported")
    return adaptor


def _run(candidate: Candidate, inputs: Inputs) -> Callable[[], object]:
    return lambda: candidate.predict(inputs)
