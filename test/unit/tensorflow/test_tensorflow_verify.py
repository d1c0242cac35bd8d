"""Kernel forms are run once per machine, in a process that may crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoq.adaptors.tensorflow import verify
from autoq.adaptors.tensorflow.forms import all_forms
from autoq.core.errors import TrialError

FORMS = all_forms()
# Stands for the process that runs kernels: dies of one form, finds another one wrong, is refused a third.
CHILD = """
import json, os, sys
start, forms = int(sys.argv[1]), {forms}
for number in range(start, forms):
    if number == 3:
        os.kill(os.getpid(), 11)
    answer = {{5: 0.5, 7: "not supported"}}.get(number, 0.01)
    print(json.dumps([number, answer]), flush=True)
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(verify, "_known", {})
    return tmp_path


@pytest.fixture
def child(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = fresh / "child_that_crashes.py"
    file.write_text(CHILD.format(forms=len(FORMS)))
    monkeypatch.syspath_prepend(str(fresh))
    monkeypatch.setattr(verify, "_MODULE", "child_that_crashes")
    return file


def test_every_form_works_on_this_machine() -> None:
    assert verify.refused() == {}


@pytest.mark.usefixtures("child")
def test_a_form_that_ends_the_process_is_refused_and_the_others_go_on() -> None:
    found = verify.refused()
    assert {FORMS.index(form) for form in found} == {3, 5, 7}
    assert "ends the process" in found[FORMS[3]]


@pytest.mark.usefixtures("child")
def test_a_wrong_result_and_a_refusal_are_told_apart() -> None:
    found = verify.refused()
    assert ("wrong" in found[FORMS[5]], found[FORMS[7]]) == (True, "not supported")


def test_what_was_found_is_remembered(child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = verify.refused()
    child.unlink()
    monkeypatch.setattr(verify, "_known", {})
    assert verify.refused() == first


@pytest.mark.usefixtures("child")
def test_a_record_that_cannot_be_read_is_made_again() -> None:
    verify.cache_file().parent.mkdir(parents=True)
    verify.cache_file().write_text(json.dumps({"of": "another version"}))
    assert len(verify.refused()) == 3


@pytest.mark.usefixtures("child")
def test_progress_names_every_form() -> None:
    told: list[str] = []
    verify.refused(told.append)
    assert set(told) == {form.label for form in FORMS}


@pytest.mark.usefixtures("fresh")
def test_a_child_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_MODULE", "autoq.no_such_module")
    with pytest.raises(TrialError, match="cannot be tried"):
        verify.refused()


def test_another_instruction_set_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = verify.cache_file()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert verify.cache_file() != before


def test_forms_are_listed_once() -> None:
    assert len({form.label for form in FORMS}) == len(FORMS)


def test_a_cache_that_cannot_be_written_only_costs_time(child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(child / "in_a_file"))
    assert len(verify.refused()) == 3
    child.unlink()
    assert len(verify.refused()) == 3
