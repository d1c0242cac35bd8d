import json
import math
from dataclasses import replace

import pytest

from autoq.core.errors import StoreError
from autoq.report.document import ReportDocument


def round_trip(document: ReportDocument) -> ReportDocument:
    return ReportDocument.from_json(json.loads(json.dumps(document.to_json(), allow_nan=False)))


def test_a_document_comes_back_from_its_json(maker):
    document = maker.document()
    assert round_trip(document) == document


def test_a_document_without_a_plan_comes_back(maker):
    document = maker.document([maker.baseline()], best=None, held_out=None)
    assert round_trip(document) == document


def test_an_infinite_loss_is_strict_json_and_comes_back(maker):
    document = maker.document([maker.baseline(), maker.trial(1, maker.plan(), math.inf, 0.4)], best=None, attempt=1)
    assert round_trip(document).attempt.scores[0].loss.value == math.inf


def test_text_that_looks_like_a_number_stays_text(maker):
    assert round_trip(maker.document(notes=["inf", "NaN"])).notes[:2] == ("inf", "NaN")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"schema": 2}, "schema 2"), ({"trials": [{}]}, "damaged"), ({"criteria": None}, "damaged")],
)
def test_a_report_that_cannot_be_read_says_so(maker, change, message):
    with pytest.raises(StoreError, match=message):
        ReportDocument.from_json({**maker.document().to_json(), **change})


def test_the_json_holds_the_verdict_for_other_programs(maker):
    verdict = maker.document().to_json()["verdict"]
    assert verdict["accepted"] is True
    assert verdict["held_out"] == "confirmed"
    assert verdict["speedup"]["low"] < verdict["speedup"]["value"] < verdict["speedup"]["high"]


def test_an_op_that_runs_otherwise_than_asked_is_a_fallback(maker):
    plan = maker.plan()
    realized = plan.with_precisions({maker.ops[5].id: maker.plan(range(63))[maker.ops[5].id]})
    document = maker.document([maker.baseline(), maker.trial(1, plan, 0.001, 0.5, realized=realized)], best=1)
    assert [row.op.id for row in document.op_rows if row.fallback] == [maker.ops[5].id]
    assert any("1 of 63 quantized ops run in another precision" in note for note in document.notes)


def test_finalists_show_their_careful_latency(maker):
    document = maker.document()
    assert document.latency_of(document.best).rounds == 200
    assert document.latency_of(document.trials[1]).rounds == 60


def test_a_job_without_held_out_samples_says_so(maker):
    assert any("no held-out verdict" in n for n in maker.document(held_out=None).notes)
    assert not any("no held-out verdict" in n for n in maker.document().notes)


def test_a_black_box_score_says_so(maker):
    notes = maker.document(held_out=None, black_box=True).notes
    assert any("eval_func" in n for n in notes)
    assert not any("no held-out verdict" in n for n in notes)


def test_too_few_samples_for_the_limit_are_pointed_out(maker):
    def notes(samples):
        maker.samples, maker.base = samples, 0.75
        return maker.document(trials=[maker.baseline()], best=None).notes

    assert any("moves in steps of about 0.0500" in n for n in notes(20))
    assert not any("moves in steps" in n for n in notes(300))


def test_a_score_that_is_no_count_moves_in_no_steps(maker):
    maker.samples = 20
    assert not any("moves in steps" in n for n in maker.document().notes)


def test_a_note_given_twice_is_told_once(maker):
    assert maker.document(notes=["same", "same"]).notes.count("same") == 1


def test_documents_are_immutable_values(maker):
    document = maker.document()
    assert replace(document, seed=8) != document
