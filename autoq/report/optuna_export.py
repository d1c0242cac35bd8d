"""A job's trials as an Optuna study, for optuna-dashboard and for Optuna's own analyses."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoq.core.errors import StoreError
from autoq.core.quiet import quiet
from autoq.core.trial import Trial, TrialState
from autoq.report.document import ReportDocument

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import CategoricalDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

DATABASES = (".db", ".sqlite3")
JOURNALS = (".log",)

RECIPES = "recipes"

_LONGEST_NAME = 400
"""Characters of a parameter's name; Optuna's tables hold 512."""

_LOGGERS = ("optuna.storages._rdb.storage", "optuna.storages.journal._storage", "alembic.runtime.migration")

Progress = Callable[[int, int], None]
"""Told how many trials of how many are written."""


def export_study(
    document: ReportDocument, path: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> str:
    """Write the finished trials of a job as a study of two or more values: the objective, and each metric's loss.

    The parameters are the precisions of the ops, one for all ops that had the same precision in every trial, and
    the recipes. Constraints are how far each metric is beyond its limit, in limits; user attributes are the trial's
    ``number``, ``note``, ``latency`` (relative to fp32), ``accepted``, ``samples``, ``state`` and ``failure``.
    Failed trials have the state FAIL; those without an objective or a loss, e.g. screenings, are PRUNED.

    Args:
        document: The report.
        path: ``.db`` or ``.sqlite3`` for SQLite, ``.log`` for a journal, which is faster to write.
        overwrite: Whether a file that exists may be replaced; it stays until the new one is complete.
        progress: Called after each trial.

    Returns:
        The study's name, the job's id.

    Raises:
        StoreError: Another suffix, a file in the way, or one that cannot be written.
    """
    if path.suffix.lower() not in (*DATABASES, *JOURNALS):
        raise StoreError(
            f"a study is written to a file that ends in {', '.join((*DATABASES, *JOURNALS))}, not '{path.suffix}'",
            where=str(path),
        )
    if path.exists() and not overwrite:
        raise StoreError(
            "the file exists and is not overwritten", where=str(path), hint="name another, or give --force"
        )
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with _storage(part, path.suffix.lower()) as storage:
            _write(document, storage, progress)
        part.replace(path)
    except OSError as error:
        raise StoreError(f"the study cannot be written: {error.strerror or error}", where=str(path)) from error
    finally:
        part.unlink(missing_ok=True)
    return document.job_id


def study_address(path: Path) -> str:
    """What optuna-dashboard takes to open an exported file."""
    return f"sqlite:///{path}" if path.suffix.lower() in DATABASES else str(path)


@contextmanager
def _storage(path: Path, suffix: str) -> Iterator[BaseStorage]:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    with quiet(*_LOGGERS):
        if suffix in JOURNALS:
            path.touch()
            yield JournalStorage(JournalFileBackend(str(path)))
            return
        path.touch()  # tells what is wrong with the folder in plainer words than the database does
        storage = RDBStorage(f"sqlite:///{path}")
        try:
            yield storage
        except SQLAlchemyError as error:
            raise OSError(str(error.__cause__ or error)) from error
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _write(document: ReportDocument, storage: BaseStorage, progress: Progress | None) -> None:
    import optuna

    metrics = [criterion.metric for criterion in document.criteria]
    names = ["objective", *(f"loss of {metric}" for metric in metrics)]
    study = optuna.create_study(study_name=document.job_id, storage=storage, directions=["minimize"] * len(names))
    _name_values(study, names)
    about = {"model": document.model.name, "strategy": document.strategy, "search ended": document.stop_reason}
    chosen = {"chosen trial": document.best.number} if document.best is not None else {}
    for key, value in (about | chosen).items():
        study.set_user_attr(key, value)
    distributions, read = _parameters(document)
    for done, trial in enumerate(document.trials, 1):
        study.add_trial(_frozen(trial, distributions, read(trial)))
        if progress is not None:
            progress(done, len(document.trials))


def _name_values(study: Study, names: list[str]) -> None:
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(names)


def _parameters(
    document: ReportDocument,
) -> tuple[dict[str, CategoricalDistribution], Callable[[Trial], dict[str, str]]]:
    """The distributions, and how a trial's values are read.

    Optuna writes a parameter at a time, each with a query of its own: ops that always go together are one.
    """
    from optuna.distributions import CategoricalDistribution

    order = [op.id for op in document.ops]
    places = {op: i for i, op in enumerate(order)}
    used = {op for trial in document.trials for op in trial.plan}
    ops = sorted(used, key=lambda op: (places.get(op, len(order)), op))
    together: dict[tuple[str, ...], list[str]] = {}
    for op in ops:
        together.setdefault(tuple(trial.plan[op].label for trial in document.trials), []).append(op)
    heads = {_name(group): group[0] for group in together.values()}
    distributions = {
        _name(group): CategoricalDistribution(tuple(dict.fromkeys(["fp32", *sorted(column)])))
        for column, group in together.items()
    }
    recipes = tuple(dict.fromkeys(_recipes(trial) for trial in document.trials))
    if len(recipes) > 1:
        distributions[RECIPES] = CategoricalDistribution(recipes)

    def read(trial: Trial) -> dict[str, str]:
        values = {name: trial.plan[op].label for name, op in heads.items()}
        return values | {RECIPES: _recipes(trial)} if len(recipes) > 1 else values

    return distributions, read


def _name(group: Sequence[str]) -> str:
    whole = group[0] if len(group) == 1 else f"{group[0]} and {len(group) - 1} more"
    return whole if len(whole) <= _LONGEST_NAME else f"{whole[: _LONGEST_NAME // 2]}…{whole[-_LONGEST_NAME // 2 :]}"


def _recipes(trial: Trial) -> str:
    return ", ".join(recipe.label for recipe in trial.plan.recipes) or "none"


def _frozen(
    trial: Trial, distributions: Mapping[str, CategoricalDistribution], values: Mapping[str, str]
) -> FrozenTrial:
    from optuna.trial import TrialState as State
    from optuna.trial import create_trial

    objective = trial.objective if trial.objective is not None else math.nan
    results = [1.0 if trial.plan.is_baseline else objective, *(score.loss.value for score in trial.scores)]
    told = trial.state is TrialState.COMPLETE and bool(trial.scores) and all(math.isfinite(v) for v in results)
    failed = trial.state in (TrialState.FAILED, TrialState.CRASHED)
    excesses = {s.metric: (s.loss.value - s.limit) / max(s.limit, 1e-3) for s in trial.scores}
    attributes: dict[str, Any] = {
        "number": trial.number,
        "note": trial.proposal.note,
        "latency": trial.speed,
        "latency estimated": trial.latency.estimated if trial.latency is not None else None,
        "accepted": trial.accepted,
        "samples": trial.samples,
        "state": str(trial.state),
        "failure": trial.failure.message if trial.failure is not None else None,
    }
    return create_trial(
        state=State.COMPLETE if told else State.FAIL if failed else State.PRUNED,
        values=results if told else None,
        params=dict(values),
        distributions=dict(distributions),
        user_attrs={key: value for key, value in attributes.items() if value is not None},
        constraints={f"excess of {m}": e for m, e in excesses.items() if math.isfinite(e)},
    )
