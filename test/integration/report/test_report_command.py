import importlib.util
import json
import shutil
from pathlib import Path

import optuna
import pytest
import typer
from typer.testing import CliRunner

from autoq.cli import report
from autoq.core.errors import StoreError
from autoq.report.html import read_report, write_report
from autoq.store.artifacts import JobFolder

_SPEC = importlib.util.spec_from_file_location(
    "report_documents", Path(__file__).parents[2] / "unit" / "report" / "conftest.py"
)
documents = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(documents)


@pytest.fixture(scope="module")
def document():
    return documents.Maker().document()


@pytest.fixture(scope="module")
def written(tmp_path_factory, document):
    return write_report(document, tmp_path_factory.mktemp("written")).parent


@pytest.fixture
def workspace(tmp_path, written):
    for job_id in ("20260101-120000-aaaa", "20260102-120000-bbbb"):
        shutil.copytree(written, JobFolder(tmp_path, job_id).folder)
    JobFolder(tmp_path, "20260103-120000-cccc").folder.mkdir()
    return tmp_path


def run(*arguments: object):
    app = typer.Typer()
    app.command()(report.command)
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def test_page_and_data_are_written_side_by_side(written, document):
    assert sorted(p.name for p in written.iterdir()) == ["report.html", "report.json"]
    assert read_report(written / "report.json") == document


def test_the_latest_report_is_summarized(workspace):
    result = run("--workspace", workspace)
    assert result.exit_code == 0
    assert "2.33× as fast as fp32" in result.stdout
    assert "held-out samples: confirmed" in result.stdout
    assert "20260102-120000-bbbb" in result.stdout


def test_a_lost_page_is_written_again(workspace):
    folder = JobFolder(workspace, "20260101-120000-aaaa")
    folder.report_html.unlink()
    assert run("20260101-120000-aaaa", "--workspace", workspace).exit_code == 0
    assert folder.report_html.exists()


def test_a_folder_and_a_file_name_a_report_too(workspace):
    folder = JobFolder(workspace, "20260101-120000-aaaa").folder
    assert run(folder).exit_code == 0
    assert run(folder / "report.json").exit_code == 0


def test_json_is_the_document(workspace, document):
    result = run("--json", "--workspace", workspace)
    assert json.loads(result.stdout) == json.loads(json.dumps(document.to_json()))


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("20260101-120000-aaab", "did you mean '20260101-120000-aaaa'"),
        ("20260103-120000-cccc", "no report yet"),
    ],
)
def test_a_wrong_job_says_what_to_do(workspace, job, message):
    error = run(job, "--workspace", workspace).exception
    assert isinstance(error, StoreError)
    assert message in str(error)


def test_an_empty_workspace_says_what_to_do_and_stays_empty(tmp_path):
    error = run("--workspace", tmp_path).exception
    assert isinstance(error, StoreError)
    assert "autoq tune" in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 99}'])
def test_a_damaged_report_is_a_clear_error(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    assert isinstance(run(tmp_path).exception, StoreError)


def test_the_trials_are_written_as_a_study_for_optuna(workspace, tmp_path, document):
    result = run("--workspace", workspace, "--optuna", tmp_path / "study.log")
    assert result.exit_code == 0
    assert f"optuna-dashboard '{tmp_path / 'study.log'}'" in result.stdout
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log")))
    assert len(optuna.load_study(study_name=document.job_id, storage=storage).trials) == len(document.trials)


def test_a_study_is_only_overwritten_by_force(workspace, tmp_path):
    path = tmp_path / "study.log"
    path.write_text("mine")
    refused = run("--workspace", workspace, "--optuna", path)
    assert isinstance(refused.exception, StoreError)
    assert path.read_text() == "mine"
    assert run("--workspace", workspace, "--optuna", path, "--force").exit_code == 0
    assert path.read_text() != "mine"
