import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from xml.etree import ElementTree

import pytest

from autoq.core.criterion import Criterion, Tolerance
from autoq.core.interval import Interval
from autoq.core.objective import Objective, Quantity
from autoq.core.precision import FP32
from autoq.core.trial import FailureKind, Latency
from autoq.report import charts, page
from autoq.report.html import render

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = '</script></style><script>alert(\'x\')</script>" onload="alert(1)" {{ 7*7 }} ${1}'


class Checker(HTMLParser):
    """Checks that tags nest, and remembers tags, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def accepted(maker):
    return maker.document()


def test_the_verdict_comes_first(accepted):
    text = Checker(render(accepted)).text
    order = [text.index(w) for w in ("Promise kept", "confirmed", "side by side", "Pareto front", "Run it again")]
    assert order == sorted(order)


def test_every_trial_and_failure_reason_is_told(accepted):
    text = Checker(render(accepted)).text
    assert "the child used 4.1 GB of the 4 GB allowed" in text
    assert "signal 11 (segmentation fault) while building" in text
    assert text.count("(screening)") == sum(not t.full for t in accepted.trials if t.scores)


def test_the_page_needs_nothing_from_outside_and_runs_no_script(accepted):
    checker = Checker(render(accepted))
    assert "script" not in {tag for tag, _ in checker.tags}
    links = [v for _, attrs in checker.tags for k, v in attrs.items() if k in ("href", "src") and v]
    assert links == ["report.json"]
    assert "url(" not in render(accepted).replace("url(#", "")


def test_what_the_user_wrote_stays_text(maker):
    trials = maker.search()
    trials[11] = replace(trials[11], proposal=replace(trials[11].proposal, note=HOSTILE))
    trials[8] = maker.failure(8, FailureKind.BUILD, HOSTILE)
    maker.criterion = replace(maker.criterion, metric=HOSTILE)
    document = maker.document(trials, name=HOSTILE, job_yaml=HOSTILE, notes=[HOSTILE], explanation=HOSTILE)
    document = replace(
        document, environment={HOSTILE: HOSTILE}, ops=tuple(replace(o, id=HOSTILE + o.id) for o in document.ops)
    )
    checker = Checker(render(document))
    assert "script" not in {tag for tag, _ in checker.tags}
    assert "onload" not in {name for _, attrs in checker.tags for name in attrs}
    assert "{{ 7*7 }}" in checker.text


def test_a_thousand_ops_stay_small_and_all_are_named(maker):
    maker = type(maker)(ops=1000)
    source = render(maker.document())
    assert len(source.encode()) < 1_000_000
    assert source.count('<i class="cell') >= 1000
    assert maker.ops[-1].id in source


@pytest.mark.parametrize("case", ["baseline only", "all failed", "infinite", "no latency", "no op", "zero limit"])
def test_unusual_jobs_have_a_page(maker, case):
    base = maker.baseline()
    if case == "zero limit":
        maker.criterion = Criterion("top1", 0.0, Tolerance.ABSOLUTE)
    if case == "no op":
        maker.ops = []
    trials = {
        "baseline only": [base],
        "all failed": [base, maker.failure(1), maker.failure(2)],
        "infinite": [base, maker.trial(1, maker.plan(), float("inf"), 0.4)],
        "no latency": [replace(base, latency=None), maker.trial(1, maker.plan(), 0.2, None)],
        "no op": [base],
        "zero limit": [base, maker.trial(1, maker.plan(), 0.2, 0.4)],
    }[case]
    attempt = 1 if len(trials) == 2 else None
    document = maker.document(trials, best=None, attempt=attempt, held_out=None)
    assert "fp32 is the answer" in Checker(render(document)).text


def test_several_metrics_have_a_picture_and_a_loss_each(maker):
    def doubled(trial):
        return replace(trial, scores=tuple(replace(s, metric=m) for s in trial.scores for m in ("top1", "f1")))

    trials = [doubled(t) for t in maker.search()]
    other = Criterion("f1", 0.02, Tolerance.ABSOLUTE)
    description = maker.description()
    description = replace(description, metrics=description.metrics * 2)
    document = maker.document(trials, held_out=None, criteria=(maker.criterion, other), description=description)
    source = render(document)
    assert "top1 against speed" in source
    assert "f1 against speed" in source
    assert "losing 0.43 % of top1 (limit 1 %) and losing 0.0043 in f1" in document.verdict.sentence


def test_charts_are_well_formed_titled_and_in_the_colours_of_the_page(accepted):
    for drawn in (charts.scatter(accepted, 0, 600), charts.history(accepted, 600)):
        root = ElementTree.fromstring(drawn)
        titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
        assert any("/blocks.3 requantized" in t for t in titles)
        assert not re.search(r"#01010\d", drawn)
        assert "var(--accent)" in drawn


def test_a_size_objective_puts_size_on_the_axis(maker):
    drawn = charts.scatter(maker.document(objective=Objective(((Quantity.SIZE, 1.0),))), 0, 600)
    assert "size / fp32" in drawn


def test_there_is_no_chart_of_a_single_point(maker):
    document = maker.document([maker.baseline()], best=None, held_out=None)
    assert charts.scatter(document, 0, 600) is None
    assert charts.history(document, 600) is None


def test_the_pareto_front_holds_only_trials_to_rely_on_that_nothing_beats():
    def point(x, y, sure=True):
        return {"x": x, "y": y, "sure": sure}

    points = [point(1.0, 0.0), point(0.5, 1.0), point(0.6, 2.0), point(0.4, 0.5, sure=False), point(0.5, 0.9)]
    assert charts._front(points) == [{"x": 0.5, "y": 0.9}, {"x": 1.0, "y": 0.0}]


def test_the_map_counts_every_op_once_by_what_was_realized(maker):
    plan = maker.plan()
    realized = plan.with_precisions({op.id: FP32 for op in maker.ops[:10]})
    document = maker.document([maker.baseline(), maker.trial(1, plan, 0.001, 0.5, realized=realized)], best=1)
    kinds, cells = page.precision_map(document)
    assert [(k.letter, k.count) for k in kinds] == [("A", 53), ("·", 10)]
    assert [c.fallback for c in cells] == [True] * 10 + [False] * 53
    table = page.by_type(cells, kinds)
    assert sum(total for *_, total in table) == 63
    assert sum(fell for _, _, fell, _ in table) == 10


def test_what_the_capability_table_says_of_an_op_stands_beside_it(accepted):
    told = render(replace(accepted, op_notes={accepted.ops[0].id: "does the residual sum, too"}))
    assert told.count("<td>does the residual sum, too</td>") == 1
    assert "does the residual sum" not in render(accepted)


def test_gauges_place_zero_limit_and_interval_in_order(accepted):
    (loss,) = page.losses(accepted.criteria, accepted.best.scores)
    gauge = loss.gauge
    assert 0 <= gauge.low < gauge.zero < gauge.value < gauge.limit < gauge.high <= 100


@pytest.mark.parametrize(
    ("loss", "half", "said"),
    [
        (0.004, 0.001, "Within the limit"),
        (0.05, 0.01, "Beyond the limit"),
        (0.009, 0.02, "Kept on these"),
        (0.011, 0.02, "Not kept on"),
    ],
)
def test_the_certainty_is_told(maker, loss, half, said):
    (found,) = page.losses((maker.criterion,), (maker.score(loss, half=half),))
    assert found.certainty.startswith(said)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_a_contrast_of_at_least_four_and_a_half(scheme):
    style = (files("autoq.report") / "templates" / "report.css").read_text()
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", style.split(":root {")[1 + scheme].split("}")[0]))
    pairs = [(text, ground) for text in ("ink", "muted", "accent", "good", "bad", "warn") for ground in ("card", "bg")]
    pairs += [("good", "good-bg"), ("bad", "bad-bg"), ("warn", "warn-bg"), ("ink", "warn-bg"), ("ink", "soft")]
    pairs += [("float-text", "float"), *(("k-text", f"k{i}") for i in range(8))]
    assert {
        p: contrast(colours[p[0]], colours[p[1]]) for p in pairs if contrast(colours[p[0]], colours[p[1]]) < 4.5
    } == {}


def test_an_infinite_objective_or_latency_stays_out_of_the_charts(maker):
    endless = Latency(math.inf, 0.01, Interval(math.inf, math.inf, math.inf), 3)
    odd = maker.trial(2, maker.plan(), 0.002, 0.6).with_(objective=math.inf, latency=endless)
    trials = [maker.baseline(), maker.trial(1, maker.plan(floats=("op1",)), 0.001, 0.5), odd]
    page = render(maker.document(trials, best=1, full_latencies={}))
    assert "Infinity" not in page
    assert "NaN" not in page
    assert "nan" not in page.lower().split("<svg", 1)[1].split("</svg>", 1)[0]


def test_losses_far_beyond_the_limit_have_plain_tick_labels(maker):
    trials = [maker.baseline(), maker.trial(1, maker.plan(), 0.67, 0.5), maker.trial(2, maker.plan(), 0.005, 0.6)]
    svg = charts.scatter(maker.document(trials, best=2), 0, 720)
    assert ">30<" in svg
    assert "e+1" not in svg
