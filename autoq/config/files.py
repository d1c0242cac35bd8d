"""Whether everything a job needs to run by itself is named and lies where the job says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from autoq.config.model_kind import kind_of_path
from autoq.config.positions import KeyPath
from autoq.config.problem import Problem, config_error
from autoq.config.schema import Dataloader, Dataset, Job
from autoq.core.function import import_from, is_function_name
from autoq.core.suggest import nearest


def check_files(job: Job) -> None:
    """Check that a job can run from the command line: model, metric and data are named and exist.

    Raises:
        ConfigError: Something is missing; lists all, with their places.
    """
    problems = missing_files(job)
    if problems:
        raise config_error(problems, job.origin.name)


def import_beside(job: Job) -> None:
    """Let the functions that a job names lie beside its file, or in the current folder."""
    import_from(job.base, Path.cwd())


def missing_files(job: Job) -> list[Problem]:
    """What `check_files` would raise."""
    return [*_model(job), *_accuracy(job), *_data(job)]


def dataloaders(job: Job) -> Iterator[tuple[KeyPath, Dataloader]]:
    """Every dataloader of a job, with the keys that lead to it."""
    calibration, accuracy = job.quantization.calibration.dataloader, job.evaluation.accuracy
    if calibration is not None:
        yield ("quantization", "calibration", "dataloader"), calibration
    if accuracy is not None and accuracy.dataloader is not None:
        yield ("evaluation", "accuracy", "dataloader"), accuracy.dataloader
    if accuracy is not None and isinstance(accuracy.held_out, Dataloader):
        yield ("evaluation", "accuracy", "held_out"), accuracy.held_out


def dataset_files(dataset: Dataset) -> Iterator[tuple[KeyPath, str]]:
    """Every path a dataset names, with the keys that lead to it."""
    if dataset.images is not None:
        yield ("images", "root"), dataset.images.root
        if dataset.images.labels not in ("folder", "none"):
            yield ("images", "labels"), dataset.images.labels
    if dataset.npz is not None:
        yield ("npz", "path"), dataset.npz.path
        if dataset.npz.labels is not None and dataset.npz.labels.endswith(".npy"):
            yield ("npz", "labels"), dataset.npz.labels
    for kind, table in (("jsonl", dataset.jsonl), ("csv", dataset.csv), ("parquet", dataset.parquet)):
        if table is not None:
            yield (kind, "path"), table.path
    if dataset.python is not None and dataset.python.path is not None:
        yield ("python", "path"), dataset.python.path


def _model(job: Job) -> Iterator[Problem]:
    if job.model.path is None:
        mark = job.origin.mark(("model",), of_key=True)
        yield Problem("model lacks the key 'path'", "name the model file to tune", mark)
    elif not is_function_name(job.model.path):
        yield from _absent(job, ("model", "path"), job.model.path)
        yield from _wrong_folder(job, job.model.path)
    if job.model.weights is not None:
        yield from _absent(job, ("model", "weights"), job.model.weights)


def _wrong_folder(job: Job, name: str) -> Iterator[Problem]:
    """A folder with a model of another framework; what a file's name tells is a conflict in the job itself."""
    path, framework = job.resolve(name), job.model.framework
    kind = kind_of_path(path) if os.path.isdir(path) else None  # noqa: PTH112 - never raises, unlike Path.is_dir
    if kind is not None and framework not in (*kind.frameworks, "toy"):
        message = f"the folder '{name}' holds {kind.title}, which framework {framework} does not read"
        yield Problem(
            message, f"write framework: {' or '.join(kind.frameworks)}", job.origin.mark(("model", "framework"))
        )


def _accuracy(job: Job) -> Iterator[Problem]:
    accuracy = job.evaluation.accuracy
    if accuracy is None:
        hint = "give evaluation.accuracy a metric and a dataloader, or tune from Python with eval_func"
        yield Problem("the job does not say how to score a model", hint, job.origin.mark(("evaluation",), of_key=True))
    elif accuracy.dataloader is None:
        hint = "add one, or tune from Python with eval_dataloader"
        mark = job.origin.mark(("evaluation", "accuracy"), of_key=True)
        yield Problem("evaluation.accuracy lacks the key 'dataloader'", hint, mark)


def _data(job: Job) -> Iterator[Problem]:
    for path, loader in dataloaders(job):
        for keys, name in dataset_files(loader.dataset):
            yield from _absent(job, (*path, "dataset", *keys), name)


def _absent(job: Job, keys: KeyPath, name: str) -> Iterator[Problem]:
    path = job.resolve(name)
    # os.path answers False where Path.exists raises, e.g. for a name that is too long.
    if not os.path.exists(path):  # noqa: PTH110
        yield Problem(f"'{name}' does not exist", _near(path), job.origin.mark(keys))
    elif not os.access(path, os.R_OK):
        yield Problem(f"'{name}' may not be read", "check its permissions", job.origin.mark(keys))


def _near(path: Path) -> str:
    folder = path.parent
    if not os.path.isdir(folder):  # noqa: PTH112
        return f"there is no folder '{folder}'; paths start from the job file's folder"
    close = nearest(path.name, sorted(p.name for p in folder.iterdir())) if os.access(folder, os.R_OK) else []
    return f"did you mean '{close[0]}'?" if close else f"'{folder}' holds nothing of a similar name"
