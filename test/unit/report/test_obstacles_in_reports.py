"""What a report says where nothing was accepted, and of ties."""

import json

import pytest

from autoq.cli.report import print_document
from autoq.core.inquiry import Findings, Inquiry, Need
from autoq.core.objective import Objective, Quantity
from autoq.core.space import Space
from autoq.report import hindrance
from autoq.report.document import ReportDocument
from autoq.report.html import render
from autoq.tuning.obstacles import obstacles


@pytest.fixture
def failed(maker):
    trials = [
        maker.baseline(),
        maker.trial(1, maker.plan(), 0.123, 0.35, "fully quantized"),
        maker.trial(2, maker.plan([0]), 0.04, 0.4, "first op → fp32"),
    ]
    table = maker.description().table
    space = Space.of(table)
    values = {maker.ops[5].id: 0.5, maker.ops[6].id: 0.1}
    findings = [Findings(Inquiry(Need.SENSITIVITY, space.full_plan()), values)]
    found = obstacles(trials, space, table, findings, [maker.criterion], unfinished=True, calibration_samples=10)
    return maker.document(trials, best=None, attempt=2, held_out=None, obstacles=found)


def test_the_page_tells_how_near_it_came_what_blocks_and_what_would_help(failed, maker):
    page = render(failed)
    assert "it loses 4.00 % [2.56, 5.44] of top1, and the limit is 1 % (300 samples)" in page
    assert "sensitivity 0.500, 83 % of all it quantizes" in page
    assert "give it a larger budget" in page
    assert "It was not accepted" in page


def test_the_terminal_tells_the_same(failed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_document(failed)
    printed = capsys.readouterr().out
    assert "and the limit is 1 % (300 samples)" in printed
    assert "83 % of all it quantizes" in printed
    assert "what would help: The search did not come to its end" in printed


def test_nothing_of_it_is_said_where_a_plan_was_accepted(maker):
    document = maker.document()
    assert hindrance.reached(document) == ""
    assert hindrance.blockers(document) == []
    assert "What stands in the way" not in render(document)


def test_it_comes_back_from_the_data_of_the_report(failed):
    assert ReportDocument.from_json(json.loads(json.dumps(failed.to_json(), allow_nan=False))) == failed


def test_a_move_of_several_ops_names_the_first_and_the_last(maker):
    trials = [
        maker.baseline(),
        maker.trial(1, maker.plan(), 0.12, 0.35),
        maker.trial(2, maker.plan(range(8)), 0.04, 0.4),
    ]
    table = maker.description().table
    found = obstacles(trials, Space.of(table), table, [], [maker.criterion])
    (row,) = hindrance.blockers(maker.document(trials, best=None, attempt=2, held_out=None, obstacles=found))
    assert row.ops == f"{maker.ops[0].id} … {maker.ops[7].id} (8 ops)"
    assert row.evidence == "moved to float: 8.00 % won (trial 1 to 2); float in the nearest plan"


def test_what_ties_with_the_chosen_plan_is_told_in_one_sentence(maker):
    chosen = maker.document().best.number
    told = hindrance.ties(maker.document(ties=[(chosen, 101), (100, chosen), (100, 101)]))
    assert len(told) == 1
    assert told[0].startswith(f"Trial {chosen}, the chosen one, ties with 100 and 101:")


def test_latencies_do_not_tie_where_size_decides(maker):
    document = maker.document(ties=[(10, 11)], objective=Objective(((Quantity.SIZE, 1.0),)))
    assert hindrance.ties(document) == []


def test_latencies_that_cannot_be_told_apart_are_called_ties(maker):
    document = maker.document(ties=[(10, 11)])
    assert "Trial 11, the chosen one, ties with 10" in render(document)
    assert ReportDocument.from_json(json.loads(json.dumps(document.to_json()))).ties == ((10, 11),)
