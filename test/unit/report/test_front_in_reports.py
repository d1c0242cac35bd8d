"""The Pareto front, as a picture and as a table."""

import re

import pytest

from autoq.core.objective import Objective, Quantity
from autoq.report.document import ReportDocument
from autoq.report.front import front_chart, front_quantities, front_rows
from autoq.report.html import render
from autoq.tuning.front import FrontPoint

OBJECTIVE = Objective(((Quantity.LATENCY, 2.0), (Quantity.SIZE, 1.0)))


def point(number, latency, size, memory=None):
    more = () if memory is None else ((Quantity.MEMORY, memory),)
    return FrontPoint(number, ((Quantity.LATENCY, latency), (Quantity.SIZE, size), *more))


@pytest.fixture
def document(maker):
    return maker.document(front=(point(11, 0.429, 0.31), point(10, 0.47, 0.28)), objective=OBJECTIVE)


def test_every_plan_of_the_front_has_a_row(document):
    assert [(r.number, r.ratios) for r in front_rows(document)] == [(11, ("0.429", "0.310")), (10, ("0.470", "0.280"))]


def test_the_chosen_plan_is_marked(document):
    assert [r.number for r in front_rows(document) if r.chosen] == [11]


def test_a_row_tells_what_is_lost(document):
    assert front_rows(document)[0].losses == ("0.43 %",)


def test_the_page_has_a_picture_and_a_table_of_the_front(document):
    page = render(document)
    section = page[page.index('aria-labelledby="front"') :]
    assert "size / fp32" in section[: section.index("</section>")]
    assert section.index("<svg") < section.index("<table")


def test_each_mark_says_what_it_is(document):
    drawn = front_chart(document, 720)
    assert drawn is not None
    titles = re.findall(r"<title>([^<]*)</title>", drawn)
    assert sorted(t.split(";")[0] for t in titles) == ["fp32", "trial 10", "trial 11"]


def test_without_a_front_the_page_has_no_such_section(maker):
    assert 'aria-labelledby="front"' not in render(maker.document())


def test_one_quantity_gives_a_table_without_a_picture(maker):
    document = maker.document(front=(FrontPoint(11, ((Quantity.LATENCY, 0.429),)),))
    assert front_chart(document, 720) is None
    assert 'aria-labelledby="front"' in render(document)


def test_a_third_quantity_stands_in_the_table(maker):
    document = maker.document(front=(point(11, 0.429, 0.31, 0.45),))
    assert front_quantities(document) == (Quantity.LATENCY, Quantity.SIZE, Quantity.MEMORY)
    assert front_rows(document)[0].ratios == ("0.429", "0.310", "0.450")


def test_the_front_survives_report_json(document):
    assert ReportDocument.from_json(document.to_json()).front == document.front


def test_a_report_of_before_there_were_fronts_is_read(maker):
    data = maker.document().to_json()
    del data["front"]
    assert ReportDocument.from_json(data).front == ()
