"""One job, from its description to a result on disk: what `autoq.fit` and `autoq tune` both do."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoq.config.conflicts import MODES
from autoq.config.json_schema import job_to_json, job_to_yaml
from autoq.config.rules import budget, space
from autoq.config.schema import Job
from autoq.core.digest import digest_of
from autoq.core.errors import StoreError
from autoq.core.inquiry import Need
from autoq.core.plan import FP32_PLAN
from autoq.core.precision import Mode
from autoq.core.runner import ProgressListener, TrialRunner
from autoq.core.strategy import Costs
from autoq.report.build import build_document
from autoq.report.document import ReportDocument
from autoq.report.sensitivity import Sensitivities, one_per_need
from autoq.result import Result
from autoq.store.artifacts import JobFolder
from autoq.store.repository import Store
from autoq.tuning.assemble import NO_PARTS, PythonParts, settings_of, workbench_of
from autoq.tuning.bundle import read_bundle, write_bundle
from autoq.tuning.in_process import InProcessRunner
from autoq.tuning.obstacles import Obstacles, obstacles
from autoq.tuning.outcome import TuningListener, TuningOutcome
from autoq.tuning.plan_file import write_plan
from autoq.tuning.replay import Replay, replay
from autoq.tuning.sensitivity import SensedUnits, sense_units
from autoq.tuning.subprocess_runner import SubprocessRunner
from autoq.tuning.tuner import Tuner


def job_digest(job: Job) -> str:
    """Content address of what a job means; where it runs and when it stops may change between resumes."""
    body = job_to_json(job)
    tuning = {k: v for k, v in body.get("tuning", {}).items() if k not in ("exit_policy", "workspace")}
    return digest_of({**{k: v for k, v in body.items() if k not in ("runner", "base")}, "tuning": tuning})


def run_job(
    job: Job,
    listener: TuningListener,
    *,
    parts: PythonParts = NO_PARTS,
    resume: bool = False,
    on_start: Callable[[Path], None] | None = None,
) -> Result:
    """Tune one job and write its report.

    Args:
        job: The job.
        listener: Told what happens while it happens.
        parts: What Python hands over; such jobs run in this process.
        resume: Go on with the latest job of the same content in the workspace.
        on_start: Called with the job's folder before anything else happens.

    Raises:
        AutoqError: The job cannot run; what was measured so far is kept.
    """
    workspace = job.resolve(job.tuning.workspace)
    with Store.open(workspace) as store:
        job_id = _job_row(store, job, resume=resume)
        folder = JobFolder(workspace, job_id)
        folder.folder.mkdir(parents=True, exist_ok=True)
        if on_start is not None:
            on_start(folder.folder)
        with store.lock_job(job_id):
            runner = _runner(job, parts, folder)
            tuner = Tuner(runner, store, job_id, folder, settings_of(job, parts), listener)
            store.set_status(job_id, "running")
            with _stopping_on_interrupt(tuner.stop):
                try:
                    outcome = tuner.run()
                    document = _write_results(job, outcome, folder, black_box=parts.eval_func is not None)
                except BaseException:
                    store.set_status(job_id, "stopped")
                    raise
            store.set_status(job_id, "stopped" if outcome.stopped else "finished")
    return Result(outcome, document, job.model.framework, job.evaluation.performance.cores_per_instance)


def _write_results(job: Job, outcome: TuningOutcome, folder: JobFolder, *, black_box: bool) -> ReportDocument:
    # Imported here: charts take a while to import, and the search need not wait for them.
    from autoq.report.html import write_report

    write_plan(outcome.best.plan if outcome.best is not None else FP32_PLAN, folder.plan)
    write_bundle(folder.bundle, job, outcome)
    document = _document(job, outcome, black_box=black_box)
    write_report(document, folder.folder)
    return document


def _document(job: Job, outcome: TuningOutcome, *, black_box: bool) -> ReportDocument:
    held_out = outcome.held_out
    shown = outcome.best or outcome.attempt
    units = outcome.space.units if shown is not None else ()
    floating = frozenset(u.id for u in units if shown is not None and shown.plan[u.ops[0].id].is_float)
    costs = outcome.costs or Costs()
    return build_document(
        job_id=outcome.job_id,
        name=job.model.name,
        framework=job.model.framework,
        description=outcome.description,
        criteria=outcome.criteria,
        objective=outcome.objective,
        baseline=outcome.baseline,
        trials=outcome.trials,
        best=outcome.best,
        attempt=outcome.attempt,
        held_out=(held_out.scores, held_out.verdict) if held_out is not None else None,
        stop_reason=outcome.stop_reason,
        strategy=job.tuning.strategy.name,
        seed=job.tuning.random_seed,
        seconds=outcome.seconds,
        memory=outcome.memory,
        full_latencies=outcome.full_latencies,
        op_seconds=outcome.costs.float_seconds if outcome.costs is not None else None,
        explanation=outcome.explanation,
        job_yaml=job_to_yaml(job),
        notes=outcome.notes,
        black_box=black_box,
        deployment=outcome.deployment,
        sensitivities=[Sensitivities.of(outcome.space, costs, f, floating) for f in one_per_need(outcome.findings)],
        ties=outcome.ties,
        front=outcome.front,
        obstacles=_obstacles(job, outcome) if outcome.best is None else None,
    )


def _obstacles(job: Job, outcome: TuningOutcome) -> Obstacles | None:
    limits = budget(job)
    spent = (limits.spent(limits.max_trials or 0, 0.0, False), limits.spent(0, limits.timeout or 0.0, False))
    static = Mode.STATIC in MODES[job.quantization.approach]
    return obstacles(
        outcome.trials,
        outcome.space,
        outcome.description.table,
        outcome.findings,
        outcome.criteria,
        unfinished=outcome.stopped or outcome.stop_reason in spent,
        calibration_samples=job.quantization.calibration.sampling_size if static else None,
    )


def _job_row(store: Store, job: Job, *, resume: bool) -> str:
    digest = job_digest(job)
    if resume:
        row = store.latest_job(digest)
        if row is None:
            raise StoreError(
                "there is no job to resume: this job file was not run before in this workspace, or it was changed",
                hint="run it without --resume; measurements of the same model and data are used again all the same",
            )
        return row.id
    body: dict[str, Any] = {"job": job_to_json(job), "yaml": job_to_yaml(job)}
    return store.create_job(job.model.name, digest, body).id


def _runner(job: Job, parts: PythonParts, folder: JobFolder) -> TrialRunner:
    if parts is not NO_PARTS or job.runner.kind == "in_process":
        return InProcessRunner(lambda: workbench_of(job, parts))
    return SubprocessRunner(
        job_to_json(job), folder.child_log, memory_limit=job.runner.memory, trial_timeout=job.runner.timeout
    )


@contextmanager
def _stopping_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C ends the search and keeps the best so far; the second one is an ordinary Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    # A process started in the background of a script inherits an ignored Ctrl-C: the second one must quit there, too.
    quits = before if callable(before) else signal.default_int_handler

    def handle(number: int, frame: object) -> None:
        del number, frame
        signal.signal(signal.SIGINT, quits)
        # From a thread of its own: the main thread, interrupted here, may hold a lock that stopping needs.
        threading.Thread(target=stop, name="autoq-stop", daemon=True).start()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def sense_job(job: Job, need: Need, seconds: float, progress: ProgressListener) -> SensedUnits:
    """Measure what quantizing each op of a job's model does; see `autoq.tuning.sensitivity`.

    Raises:
        AutoqError: The model or the data cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="autoq-sensitivity-") as scratch:
        runner: TrialRunner
        if job.runner.kind == "in_process":
            runner = InProcessRunner(lambda: workbench_of(job))
        else:
            runner = SubprocessRunner(job_to_json(job), Path(scratch) / "child.log", memory_limit=job.runner.memory)
        return sense_units(runner, lambda table: space(job, table), need, seconds, progress)


def replay_bundle(path: Path, progress: ProgressListener) -> Replay:
    """Run the bundle in a folder again; see `autoq.tuning.replay`.

    Raises:
        StoreError: There is no bundle.
        AutoqError: Its model or data cannot be used any more.
    """
    bundle = read_bundle(path)
    with tempfile.TemporaryDirectory(prefix="autoq-replay-") as scratch:
        runner = SubprocessRunner(
            job_to_json(bundle.job), Path(scratch) / "child.log", memory_limit=bundle.job.runner.memory
        )
        return replay(bundle, runner, progress)
