"""Orchestration of the gate: after the finalist is chosen, in the runner, resumable, never at the job's cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoq.core.deployed import Agreement, DeployedScore, Deployment, RuntimeResult
from autoq.core.deployment import DEFAULT_OPSET, FORMATS, ExportedModel, ExportSettings
from autoq.core.deployment_task import (
    CompareDeployed,
    DeployedCompared,
    DeployedMeasured,
    DeployedScored,
    Export,
    Exported,
    MeasureDeployed,
    ScoreDeployed,
)
from autoq.core.digest import digest_of
from autoq.core.errors import AutoqError, EvaluationError
from autoq.core.file_format import FileFormat
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.records import Records
from autoq.core.task import Answer, Split, Task
from autoq.core.trial import Failure, Trial
from autoq.evaluation.difference import difference_interval
from autoq.tuning.deployment.agreement import first_diverging, limit_of
from autoq.tuning.session import Session, Stopped

FOLDER = "deployment"
"""Folder of a job, and of a saved result, that holds the exported files."""

QUANTIZED_FILE, FLOAT_FILE = "quantized", "fp32"
"""Names of the files without the suffix, which is their format's name."""


@dataclass(frozen=True)
class DeploymentSettings:
    """What a job says of deployment.

    Attributes:
        runtimes: Where the exported file is scored, in order.
        profile: Name of the profile the plans were restricted to, or None.
        opset: ONNX opset; None for the exporter's own choice.
        tolerance: Largest difference between quantized and deployed, in the metric's own unit.
    """

    runtimes: tuple[str, ...]
    profile: str | None
    opset: int | None
    tolerance: float


def deploy(session: Session, trial: Trial | None, settings: DeploymentSettings, folder: Path) -> Deployment | None:
    """Export the plan of `trial`, and score it in every runtime; None when there is no plan or the user stopped."""
    if trial is None:
        session.notes.append("no plan was tried to the end: there is nothing to deploy")
        return None
    with session.desk.phase("deployment"):
        try:
            return _Gate(session, trial.plan, settings, folder).run()
        except Stopped:
            session.notes.append("stopped by the user: the model was not scored where it will run")
            return None


class _Gate:
    def __init__(self, session: Session, plan: Plan, settings: DeploymentSettings, folder: Path) -> None:
        self._session = session
        self._plan = plan
        self._settings = settings
        self._folder = folder / FOLDER
        self._key = "deployment:" + digest_of(
            {"plan": plan.digest, "opset": settings.opset, "profile": settings.profile, "tolerance": settings.tolerance}
        )

    def run(self) -> Deployment:
        settings = self._settings
        pairs = {kind: self._pair(kind) for kind in dict.fromkeys(FORMATS[name] for name in settings.runtimes)}
        written = [quantized for quantized, _ in pairs.values() if not isinstance(quantized, str)]
        failures = [quantized for quantized, _ in pairs.values() if isinstance(quantized, str)]
        if not written:
            return Deployment(
                self._plan.digest, settings.tolerance, settings.profile, (), (), failure="; ".join(failures)
            )
        return Deployment(
            self._plan.digest,
            settings.tolerance,
            settings.profile,
            tuple(f"{FOLDER}/{model.file.name}" for model in written),
            tuple(self._runtime(name, *pairs[FORMATS[name]]) for name in settings.runtimes),
            tuple(rule for model in written for rule in model.rules),
            tuple(broken for model in written for broken in model.broken),
            tuple(_notes(pairs.values())),
        )

    # -- steps -------------------------------------------------------------------------------------------------

    def _pair(self, kind: FileFormat) -> tuple[ExportedModel | str, ExportedModel | str]:
        """The quantized and the float model in one format, or why there is none."""
        quantized = self._exported(self._plan, QUANTIZED_FILE, kind)
        return quantized, quantized if isinstance(quantized, str) else self._exported(FP32_PLAN, FLOAT_FILE, kind)

    def _exported(self, plan: Plan, stem: str, kind: FileFormat) -> ExportedModel | str:
        name = f"{stem}.{kind}"
        key, file = f"{self._key}:{name}", self._folder / name
        stored = self._fact(key)
        if stored is not None and file.is_file():
            return replace(ExportedModel.from_json(stored), file=file)
        profile = self._settings.profile if len(plan) else None
        settings = ExportSettings(self._settings.opset or DEFAULT_OPSET, profile, kind)
        answer = self._do(Export(plan, str(file), settings))
        if not isinstance(answer, Exported):
            return _reason(answer)
        self._keep(key, answer.model.to_json())
        return answer.model

    def _runtime(self, name: str, exported: ExportedModel | str, plain: ExportedModel | str) -> RuntimeResult:
        if isinstance(exported, str):
            return RuntimeResult(name, Agreement.FAILED, failure=exported)
        key = f"{self._key}:{name}"
        stored = self._fact(key)
        if stored is not None:
            return RuntimeResult.from_json(stored)
        result = self._scored(name, exported)
        if result.agreement is not Agreement.FAILED:
            result = self._compared(name, exported, result)
            if not isinstance(plain, str):
                answer = self._do(MeasureDeployed(name, str(exported.file), str(plain.file)))
                if isinstance(answer, DeployedMeasured):
                    result = replace(result, latency=answer.latency)
                else:
                    result = _noted(result, f"its latency could not be measured: {_reason(answer)}")
            self._keep(key, result.to_json())
        return result

    def _scored(self, name: str, exported: ExportedModel) -> RuntimeResult:
        session = self._session
        metrics = session.judge.metrics
        if metrics is None:
            # The user's function takes the framework's own model: it cannot score a file.
            result = RuntimeResult(name, Agreement.NOT_SCORED, quantized_ops=len(exported.quantized))
            return _noted(result, "your own function eval_func cannot score a file: outputs are compared instead")
        scores: list[DeployedScore] = []
        result = RuntimeResult(name, Agreement.PASSED, quantized_ops=len(exported.quantized))
        for split, quantized in self._quantized_records().items():
            answer = self._do(ScoreDeployed(name, exported, str(split), session.description.samples[split]))
            if not isinstance(answer, DeployedScored):
                return replace(result, agreement=Agreement.FAILED, failure=_reason(answer))
            result = replace(
                result, version=answer.version, int8_ops=len(answer.int8), notes=tuple({*result.notes, *answer.notes})
            )
            try:
                scores += self._differences(split, quantized, answer.records)
            except EvaluationError as error:
                failure = f"the {split.replace('_', '-')} samples could not be judged: {error.message}"
                return replace(result, agreement=Agreement.FAILED, failure=failure)
        if not scores:
            return _noted(replace(result, agreement=Agreement.NOT_SCORED), "the plan was not scored on a whole split")
        agreed = all(s.within(self._settings.tolerance) for s in scores)
        return replace(result, scores=tuple(scores), agreement=Agreement.PASSED if agreed else Agreement.DISAGREES)

    def _compared(self, name: str, exported: ExportedModel, result: RuntimeResult) -> RuntimeResult:
        answer = self._do(CompareDeployed(name, self._plan, exported, by_op=False))
        if not isinstance(answer, DeployedCompared):
            return _noted(result, f"its outputs could not be compared: {_reason(answer)}")
        result = replace(result, sqnr=answer.sqnr, noise=answer.noise)
        limit = limit_of(answer.noise, own_grids=exported.own_grids)
        if result.agreement is not Agreement.DISAGREES and answer.sqnr >= limit:
            return result
        return self._diverging(name, exported, result)

    def _diverging(self, name: str, exported: ExportedModel, result: RuntimeResult) -> RuntimeResult:
        answer = self._do(CompareDeployed(name, self._plan, exported, by_op=True))
        if not isinstance(answer, DeployedCompared):
            return _noted(result, f"the ops could not be compared: {_reason(answer)}")
        first = first_diverging(answer.ops, answer.noise)
        result = replace(result, ops=answer.ops, diverging=first)
        if first is None and exported.own_grids:
            told = "op by op it computes what the file describes; its grids are others than those of the tuned model"
            return _noted(result, told)
        if first is None and answer.kernels is not None and answer.kernels < limit_of(answer.noise):
            told = (
                f"op by op it computes what was exported; it is the framework's own 8-bit kernels that compute "
                f"something else than their scales say ({answer.kernels:.1f} dB)"
            )
            return _noted(result, told)
        if first is None:
            return _noted(result, "no single op differs by more than rounding: small differences add up")
        return result

    # -- helpers -----------------------------------------------------------------------------------------------

    def _quantized_records(self) -> Mapping[Split, Mapping[str, Records]]:
        ledger, every = self._session.ledger, self._session.description.samples
        # What was compiled for deployment has its own scores; anything else has one form only.
        forms = [ledger.known(self._plan, deployed=deployed).records for deployed in (True, False)]
        found = {Split.HELD_OUT: ledger.held_out(self._plan) or {}}
        found[Split.TUNE] = next((r for r in forms if _samples(r) == every[Split.TUNE]), {})
        return {split: found[split] for split in Split if _samples(found[split]) == every.get(split, 0) > 0}

    def _differences(
        self, split: Split, quantized: Mapping[str, Records], deployed: Mapping[str, Records]
    ) -> list[DeployedScore]:
        session, found = self._session, []
        baseline = session.baseline_records[split]
        for criterion, metric in zip(session.judge.criteria, session.judge.metrics or (), strict=True):
            name = criterion.metric
            value, before, difference = difference_interval(
                metric, deployed[name], quantized[name], baseline[name], session.judge.seed, criterion.confidence
            )
            fp32 = metric.score(baseline[name], baseline[name])
            found.append(DeployedScore(name, str(split), fp32, before, value, difference, len(deployed[name])))
        return found

    def _do(self, task: Task) -> Answer | AutoqError:
        """The answer; an error that would end the job is only this step's."""
        try:
            return self._session.desk.do(task)
        except AutoqError as error:
            return error

    def _fact(self, key: str) -> Any:
        return self._session.desk.store.fact(self._session.desk.job_id, key)

    def _keep(self, key: str, value: object) -> None:
        self._session.desk.store.set_fact(self._session.desk.job_id, key, value)


def _samples(records: Mapping[str, Records]) -> int:
    return min((len(r) for r in records.values()), default=0)


def _reason(answer: Answer | AutoqError) -> str:
    if isinstance(answer, Failure):
        return answer.message
    return str(answer)


def _notes(pairs: Iterable[tuple[ExportedModel | str, ExportedModel | str]]) -> Iterator[str]:
    for quantized, plain in pairs:
        if not isinstance(quantized, str):
            yield from quantized.notes
            if isinstance(plain, str):
                yield f"no fp32 file: {plain}"


def _noted(result: RuntimeResult, note: str) -> RuntimeResult:
    return replace(result, notes=(*result.notes, note))
