"""Where a trial really happens: model, statistics and data in one place, doing one task after another.

The same workbench serves the in-process runner and the child process.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from autoq.calibration.cache import CalibrationCache, CalibrationKey
from autoq.core.adaptor import Candidate, Compilable, notes_of
from autoq.core.batch import Batch, Inputs, Outputs
from autoq.core.capability import CapabilityTable
from autoq.core.digest import digest_of
from autoq.core.errors import AutoqError, DataError, EvaluationError, StoreError, TrialError
from autoq.core.plan import FP32_PLAN, LatencyEffort, Plan
from autoq.core.records import Records
from autoq.core.runner import ProgressListener
from autoq.core.statistics import Calibration
from autoq.core.task import (
    Answer,
    Calibrate,
    Calibrated,
    Description,
    Evaluate,
    Evaluated,
    Measure,
    Measured,
    MeasureMemory,
    MemoryMeasured,
    Profile,
    Profiled,
    Progress,
    Save,
    Saved,
    Sense,
    Sensed,
    Split,
    Task,
)
from autoq.core.trial import Failure, FailureKind
from autoq.evaluation.latency import interleave
from autoq.store.failures import DISK_FULL, of_os_error
from autoq.tuning.arrange import ARRANGEMENT, Arranger
from autoq.tuning.candidates import Candidates, compile_seconds
from autoq.tuning.deployment.bench import Access, DeploymentBench
from autoq.tuning.environment import describe_environment, processor, versions
from autoq.tuning.memory import measure_memory
from autoq.tuning.scorer import OnProgress, told_as
from autoq.tuning.sensing import Lab, sense
from autoq.tuning.setup import Setup
from autoq.tuning.stopwatch import Stopwatch
from autoq.tuning.watch import Watch


class Workbench:
    """Loads on construction; `handle` does one task."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._adaptor = setup.adaptor
        self._model = self._adaptor.load(setup.source)
        self._table: CapabilityTable = self._adaptor.capabilities(self._model)
        self._data = setup.open_data(self._model.inputs)
        self._calibration: Calibration | None = None
        self._candidates = Candidates(self._build)
        self._arranger = Arranger(
            self._data.scorer,
            setup.cache / f"order-{digest_of([ARRANGEMENT, self._evidence])}.npz",
            lambda: self._candidates.deployed_of(FP32_PLAN, lambda _: None),
        )
        self._latency_inputs: Inputs | None = None
        self._clock: Callable[[], float] = getattr(self._adaptor, "clock", time.perf_counter)

    def describe(self) -> Description:
        """What this job's model and data are."""
        setup, model = self._setup, self._model
        samples = dict(self._data.scorer.samples)
        if not samples.get(Split.TUNE):
            raise DataError("there is no evaluation sample to tune on", hint="check evaluation.accuracy.dataloader")
        return Description(
            table=self._table,
            fingerprint=model.fingerprint,
            evidence=self._evidence,
            inputs=tuple(model.inputs),
            outputs=tuple(model.outputs),
            size_bytes=model.size_bytes,
            metrics=tuple(self._data.scorer.metrics),
            samples=samples,
            batch_size=setup.latency.batch_size,
            environment=describe_environment(setup.options.threads),
            notes=(*self._adaptor.usability().notes, *notes_of(model)),
            shuffled=self._data.shuffled,
        )

    @cached_property
    def _evidence(self) -> str:
        setup = self._setup
        return digest_of(
            {
                "framework": setup.framework,
                "model": self._model.fingerprint,
                "calibration": self._calibration_key().digest if self._data.calibration is not None else None,
                "evaluation": list(self._data.scorer.fingerprint),
                "settings": dict(setup.settings),
                "threads": setup.options.threads,
                "processor": processor(),
                "versions": {**versions(), **self._adaptor.usability().versions},
            }
        )

    def handle(self, task: Task, progress: ProgressListener) -> Answer:
        """Do one task. What a plan breaks is answered as a `Failure`; anything else is raised."""
        match task:
            case Calibrate():
                return self._calibrate(progress)
            case Evaluate():
                return self._guarded(task.plan, lambda: self._evaluate(task, progress))
            case Measure():
                return self._guarded(None, lambda: self._measure(task, progress))
            case MeasureMemory():
                return self._guarded(None, lambda: self._measure_memory(task.plan, progress))
            case Profile():
                return self._guarded(None, lambda: self._profile(task.plan))
            case Sense():
                return self._guarded(None, lambda: self._sense(task, progress))
            case Save():
                return self._guarded(None, lambda: self._save(task, progress))
            case _:
                return self._guarded(None, lambda: self._deployment(progress).handle(task, progress))

    def _deployment(self, progress: ProgressListener) -> DeploymentBench:
        setup, settings, source = self._setup, self._setup.latency, self._data.calibration
        self._arranger.arrange(lambda done, total: progress(Progress("evaluate", done, total)))

        def calibration() -> Calibration | None:
            if self._calibration is None and self._data.calibration is not None:
                self._calibrate(progress)
            return self._calibration

        return DeploymentBench(
            Access(
                setup.framework,
                self._adaptor,
                self._model,
                calibration,
                lambda: source.batches(0, setup.sampling_size) if source is not None else (),
                lambda plan: self._candidates.deployed_of(plan, progress),
                self._candidates.of,
                self._data.scorer,
                self._data.latency,
                self._inputs,
                lambda runs, reference: interleave(
                    runs,
                    reference,
                    warmup=settings.warmup,
                    confidence=settings.confidence,
                    seed=setup.seed,
                    clock=self._clock,
                    **settings.effort(LatencyEffort.QUICK),
                ),
                setup.options,
            )
        )

    def close(self) -> None:
        """Release every candidate."""
        self._candidates.close()

    def _guarded(self, plan: Plan | None, work: Callable[[], Answer]) -> Answer:
        if plan is not None and plan.is_baseline:
            return work()  # the user's own model and data: their error, not a failed trial
        try:
            return work()
        except StoreError:
            raise  # the disk or the workspace is at fault, no plan
        except OSError as error:
            if error.errno in DISK_FULL:
                raise of_os_error(error, Path(error.filename or tempfile.gettempdir())) from error
            return Failure(FailureKind.EVALUATE, f"{type(error).__name__}: {error}")
        except MemoryError as error:
            return Failure(FailureKind.MEMORY, f"out of memory: {error}")
        except EvaluationError as error:
            return Failure(FailureKind.NOT_FINITE, str(error))
        except TrialError as error:
            return Failure(FailureKind.BUILD, str(error))
        except AutoqError as error:
            return Failure(FailureKind.EVALUATE, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a framework throws at a plan is that plan's failure
            return Failure(FailureKind.EVALUATE, f"{type(error).__name__}: {error}")

    # -- calibration -------------------------------------------------------------------------------------------

    def _calibration_key(self) -> CalibrationKey:
        source = self._data.calibration
        assert source is not None
        return CalibrationKey(
            self._model.fingerprint,
            source.fingerprint,
            self._setup.sampling_size,
            self._adaptor.needs(self._model, self._table),
        )

    def _calibrate(self, progress: ProgressListener) -> Calibrated:
        started = time.perf_counter()
        source, wanted = self._data.calibration, self._setup.sampling_size
        if source is None:
            return Calibrated(0.0, 0, 0, cached=False)
        collected = False

        def batches() -> Iterator[Batch]:
            done = 0
            progress(Progress("calibrate", 0, wanted))
            for batch in source.batches(0, wanted):
                yield batch
                done += batch.samples
                progress(Progress("calibrate", done, wanted))
            if done == 0:
                raise DataError("the calibration data are empty", hint="check quantization.calibration.dataloader")

        def collect() -> Calibration:
            nonlocal collected
            collected = True
            return self._adaptor.calibrate(self._model, batches(), self._adaptor.needs(self._model, self._table))

        with told_as("calibration data"):
            self._calibration = CalibrationCache(self._setup.cache).get_or_collect(self._calibration_key(), collect)
        seconds = time.perf_counter() - started
        return Calibrated(seconds, self._calibration.samples, len(self._calibration.tensors), cached=not collected)

    # -- candidates --------------------------------------------------------------------------------------------

    def _build(self, plan: Plan) -> Candidate:
        if self._calibration is None and plan.precisions and self._data.calibration is not None:
            self._calibrate(lambda _: None)
        return self._adaptor.apply(self._model, plan, self._calibration, self._setup.options)

    def _evaluate(self, task: Evaluate, progress: ProgressListener) -> Evaluated:
        self._candidates.keep((task.plan,))
        started = time.perf_counter()
        searched = self._candidates.of(task.plan)
        built = time.perf_counter()
        known = compile_seconds(searched)
        compiles = isinstance(searched, Compilable)
        seconds = {"build": built - started}
        candidate = searched
        if task.deployed or task.latency is not LatencyEffort.NONE:
            # Compiled before it is scored: where that fails, the time of scoring is not lost, too.
            candidate = self._candidates.deployed_of(task.plan, progress)
        if known is None and (compiled := compile_seconds(searched)) is not None:
            seconds["compile"] = compiled
        ready = time.perf_counter()
        watch = Watch()
        report: OnProgress = lambda done, total: progress(Progress("evaluate", done, total))  # noqa: E731
        records: Mapping[str, Records] = {}
        if task.stop > task.start:
            with told_as(f"evaluation data ({task.split.replace('_', '-')} split)"):
                records, watch = self._scored(task, candidate if task.deployed else searched, report)
        scored = time.perf_counter()
        latency = None
        if task.latency is not LatencyEffort.NONE and not (watch.broken and task.spare_broken):
            (latency,) = self._measured((task.plan,), task.latency, progress).latencies
        measured = time.perf_counter()
        return Evaluated(
            records=records,
            seconds={**seconds, "evaluate": scored - ready, "latency": measured - scored},
            size_bytes=candidate.size_bytes,
            realized=candidate.realized,
            latency=latency,
            reference=compiles and not task.deployed,
            divergence=watch.divergence,
            hard=self._arranger.hard,
        )

    def _scored(
        self, task: Evaluate, candidate: Candidate, progress: OnProgress
    ) -> tuple[Mapping[str, Records], Watch]:
        """Records by metric; the first time fp32 is scored, also the order of the samples is found."""
        scorer = self._data.scorer
        if task.split is Split.TUNE:
            found = self._arranger.arrange(progress)
            if found is not None and task.plan.is_baseline and task.start == 0:
                return {name: records.first(task.stop) for name, records in found.items()}, Watch()
        watch = self._watch(task)
        return scorer.score(candidate, task.split, task.start, task.stop, progress, watch), watch

    def _watch(self, task: Evaluate) -> Watch:
        compared = task.split is Split.TUNE and task.start == 0 and task.stop > 0 and not task.plan.is_baseline
        return self._data.scorer.watch(task.rule, (lambda: self._candidates.of(FP32_PLAN)) if compared else None)

    # -- speed and memory --------------------------------------------------------------------------------------

    def _inputs(self) -> Inputs:
        if self._latency_inputs is None:
            source = self._data.latency
            if source is None:
                raise DataError("there are no samples to measure latency with", hint="give a calibration dataloader")
            batch = next(iter(source.batches(0, self._setup.latency.batch_size)), None)
            if batch is None:
                raise DataError("the evaluation data are empty", hint="check evaluation.accuracy.dataloader")
            self._latency_inputs = batch.inputs
        return self._latency_inputs

    def _measured(self, plans: Sequence[Plan], effort: LatencyEffort, progress: ProgressListener) -> Measured:
        every = dict.fromkeys((FP32_PLAN, *plans))
        candidates = {p.digest: self._candidates.deployed_of(p, progress) for p in every}
        stopwatch = Stopwatch(self._setup, self._clock, self._inputs())
        found = stopwatch.measure(candidates, FP32_PLAN.digest, effort)
        pairs = itertools.combinations(range(len(plans)), 2)
        ties = [(i, j) for i, j in pairs if found.is_tie(plans[i].digest, plans[j].digest)]
        return Measured(tuple(found.latencies[p.digest] for p in plans), tuple(ties))

    def _measure(self, task: Measure, progress: ProgressListener) -> Measured:
        self._candidates.keep(task.plans)
        return self._measured(task.plans, task.effort, progress)

    def _measure_memory(self, plan: Plan, progress: ProgressListener) -> MemoryMeasured:
        with tempfile.TemporaryDirectory(prefix="autoq-memory-") as folder:
            target = Path(folder) / "model"
            target.mkdir()
            self._adaptor.save(self._candidates.deployed_of(plan, progress), target)
            return MemoryMeasured(measure_memory(self._setup.framework, target, self._inputs(), self._setup.options))

    def _profile(self, plan: Plan) -> Profiled:
        costs = self._adaptor.profile(self._candidates.of(plan), self._inputs())
        return Profiled(costs.seconds, costs.overhead)

    # -- sensing -----------------------------------------------------------------------------------------------

    def _sense(self, task: Sense, progress: ProgressListener) -> Sensed:
        source = self._data.calibration or self._data.latency
        if source is None:
            return Sensed({}, "there are no samples to measure with")
        if self._calibration is None and self._data.calibration is not None:
            self._calibrate(progress)
        identity = digest_of(
            {
                "model": self._model.fingerprint,
                "data": source.fingerprint,
                "calibration": self._calibration.digest if self._calibration is not None else None,
                "versions": {**versions(), **self._adaptor.usability().versions},
                "processor": processor(),
            }
        )
        return sense(
            Lab(
                self._adaptor,
                self._model,
                self._calibration,
                self._build,
                source,
                self._setup.options,
                self._setup.seed,
                self._setup.cache,
                identity,
            ),
            task,
            progress,
        )

    # -- saving ------------------------------------------------------------------------------------------------

    def _save(self, task: Save, progress: ProgressListener) -> Saved:
        folder = Path(task.folder)
        candidate = self._candidates.deployed_of(task.plan, progress)
        artifact = self._adaptor.save(candidate, folder)
        inputs = self._inputs()
        loaded = self._adaptor.load_artifact(folder, self._setup.options)
        try:
            _require_equal(candidate.predict(inputs), loaded.predict(inputs))
        finally:
            loaded.close()
        return Saved(artifact.files, sum((folder / f).stat().st_size for f in artifact.files))


def _require_equal(expected: Outputs, found: Outputs) -> None:
    for name, array in expected.items():
        if name not in found or not np.array_equal(array, found[name], equal_nan=array.dtype.kind == "f"):
            raise TrialError(f"the saved model gives another output '{name}' than the one that was scored")
