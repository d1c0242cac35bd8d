import logging
import sqlite3
from functools import cache

import optuna
import pytest

from autoq.core.errors import StoreError
from autoq.core.trial import TrialState
from autoq.report.optuna_export import export_study, study_address


def load(path, name):
    if path.suffix == ".log":
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


@cache
def written(suffix, maker_class, folder):
    document = maker_class().document()
    path = folder / f"study{suffix}"
    return document, load(path, export_study(document, path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(params=[".db", ".log"])
def exported(request, folder, maker):
    return written(request.param, type(maker), folder)


@pytest.fixture
def short(maker):
    return maker.document(trials=maker.search()[:2], best=None)


def by_number(study):
    return {t.user_attrs["number"]: t for t in study.trials}


def test_every_trial_is_there_with_its_state(exported):
    document, study = exported
    states = {t.number: t.state for t in document.trials}
    found = {number: t.state for number, t in by_number(study).items()}
    assert found.keys() == states.keys()
    failed = {n for n, s in states.items() if s in (TrialState.FAILED, TrialState.CRASHED)}
    assert {n for n, s in found.items() if s is optuna.trial.TrialState.FAIL} == failed


def test_values_are_objective_and_loss(exported):
    document, study = exported
    told = by_number(study)
    assert document.best is not None
    best = told[document.best.number]
    assert best.values == pytest.approx([document.best.objective, document.best.scores[0].loss.value])
    assert study.metric_names == ["objective", f"loss of {document.criteria[0].metric}"]


def test_the_chosen_trial_is_the_fastest_feasible_one(exported):
    document, study = exported
    full = [t for t in study.best_trials if t.user_attrs["accepted"]]
    assert min(full, key=lambda t: t.values[0]).user_attrs["number"] == document.best.number
    assert study.user_attrs["chosen trial"] == document.best.number


def test_constraints_tell_what_keeps_the_limit(exported):
    document, study = exported
    told = by_number(study)
    for trial in document.trials:
        if trial.scores:
            (excess,) = told[trial.number].constraints.values()
            assert excess == pytest.approx(trial.excess)


def test_parameters_give_the_plan_back(exported):
    document, study = exported
    for trial in document.trials:
        params = by_number(study)[trial.number].params
        labels = sorted(v for k, v in params.items() if k != "recipes")
        asked = {trial.plan[op].label for op in trial.plan} | ({"fp32"} if "fp32" in labels else set())
        assert set(labels) == asked


def test_ops_that_always_go_together_are_one_parameter(exported):
    document, study = exported
    ops = {op for t in document.trials for op in t.plan}
    columns = {tuple(t.plan[op] for t in document.trials) for op in ops}
    assert len(study.trials[0].params) == len(columns) < len(ops)


def test_another_suffix_is_told(short, tmp_path):
    with pytest.raises(StoreError, match=r"\.log"):
        export_study(short, tmp_path / "study.json")


def test_a_file_is_not_overwritten_unasked(short, tmp_path):
    path = tmp_path / "study.db"
    path.write_text("mine")
    with pytest.raises(StoreError, match="not overwritten"):
        export_study(short, path)
    assert path.read_text() == "mine"


def test_a_file_is_overwritten_when_asked(short, tmp_path):
    path = tmp_path / "study.db"
    path.write_text("mine")
    export_study(short, path, overwrite=True)
    assert sqlite3.connect(path).execute("select count(*) from studies").fetchone() == (1,)


def test_a_missing_folder_is_told_and_nothing_is_left(short, tmp_path):
    with pytest.raises(StoreError, match="cannot be written"):
        export_study(short, tmp_path / "missing" / "study.db")
    assert not list(tmp_path.iterdir())


def test_nothing_but_the_study_is_left(short, tmp_path):
    for name in ("study.sqlite3", "study.log"):
        export_study(short, tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.log", "study.sqlite3"]


def test_progress_counts_every_trial(short, tmp_path):
    document, seen = short, []
    export_study(document, tmp_path / "study.log", progress=lambda done, total: seen.append((done, total)))
    count = len(document.trials)
    assert seen == [(i, count) for i in range(1, count + 1)]


@pytest.mark.parametrize("name", ["study.db", "study.log"])
def test_optuna_says_nothing_and_keeps_its_level(short, tmp_path, caplog, name):
    before = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    try:
        export_study(short, tmp_path / name)
    finally:
        optuna.logging.disable_propagation()
    assert optuna.logging.get_verbosity() == before
    assert not caplog.records
    assert not logging.getLogger("optuna.storages._rdb.storage").filters


def test_the_address_is_what_the_dashboard_takes(tmp_path):
    assert study_address(tmp_path / "a.db") == f"sqlite:///{tmp_path}/a.db"
    assert study_address(tmp_path / "a.log") == f"{tmp_path}/a.log"
