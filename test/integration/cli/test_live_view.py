"""What a run looks like on terminals of several sizes."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from autoq.cli.live import LiveView
from autoq.core.budget import Budget
from autoq.core.interval import Interval
from autoq.core.plan import FP32_PLAN, Plan, Proposal
from autoq.core.task import Progress
from autoq.core.trial import Latency, MetricScore, Trial, TrialState
from autoq.testing.toy import INT8


def trial(number: int, metrics: int = 1) -> Trial:
    plan = FP32_PLAN if number == 0 else Plan({f"op{number}": INT8})
    scores = tuple(
        MetricScore(f"metric{i}", 0.9, 0.9125, Interval(0.0125, -0.0211, 0.0499), 0.05, True, 300)
        for i in range(metrics)
    )
    latency = Latency(0.01, 0.02, Interval(0.512, 0.498, 0.533), 30)
    return Trial(number, Proposal(plan, note="a region stays float"), TrialState.COMPLETE, scores, latency, 10_000_000,
                 objective=0.512 - number / 1000, full=True)  # fmt: skip


def shown(width: int, height: int, trials: int, metrics: int = 1) -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=width, height=height, force_terminal=True, color_system=None)
    view = LiveView(console, "a model", Budget(max_trials=50))
    view.phase("search")
    for number in range(trials):
        view.trial(trial(number, metrics))
    console.print(view._render())
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_loss_latency_and_verdict_are_never_cut(width):
    (line,) = [text for text in shown(width, 40, 2) if text.strip().startswith("1 ")]
    for part in ("0.0125 [−0.0211, 0.0499]", "0.512 [0.498, 0.533]", "accepted"):
        assert part in line


def test_a_wide_terminal_shows_what_is_tried_and_sizes():
    text = "\n".join(shown(140, 40, 2))
    assert "a region stays float" in text
    assert "10.0 MB" in text


@pytest.mark.parametrize("metrics", [1, 3])
def test_everything_fits_a_low_terminal_with_the_latest_trial(metrics):
    lines = shown(80, 20, 30, metrics)
    assert len(lines) <= 20
    assert any(line.strip().startswith("29 ") for line in lines)


def test_the_best_trial_stays_in_sight():
    output = io.StringIO()
    console = Console(file=output, width=140, height=20, force_terminal=True, color_system=None)
    view = LiveView(console, "a model", Budget(max_trials=50))
    for number in range(30):
        view.trial(trial(number).with_(objective=0.1 if number == 3 else 0.9))
    console.print(view._render())
    assert any(line.strip().startswith("3 ") for line in output.getvalue().splitlines())


def test_stopping_is_not_overwritten_by_the_phases_that_follow():
    output = io.StringIO()
    view = LiveView(Console(file=output, width=100), "a model", Budget())
    view.phase("search")
    view.phase("stopping")
    view.phase("finalists")
    assert output.getvalue().splitlines() == [
        "Searching …",
        "Stopping and saving the best so far; Ctrl-C again quits at once …",
    ]


def plain_lines(*trials: Trial) -> list[str]:
    output = io.StringIO()
    view = LiveView(Console(file=output, width=200), "a model", Budget())
    for found in trials:
        view.trial(found)
    return output.getvalue().splitlines()


def test_compiling_is_told_apart():
    (line,) = plain_lines(trial(1).with_(seconds={"build": 1.0, "compile": 18.2}))
    assert "a region stays float (compile 18 s)" in line


def test_an_estimated_latency_is_told_as_one():
    (line,) = plain_lines(trial(1).with_(latency=Latency(0.01, 0.02, Interval(0.5, 0.4, 0.6), 0, estimated=True)))
    assert "≈ 0.50 estimated" in line


def test_a_best_that_fails_as_deployed_is_none_any_more():
    output = io.StringIO()
    view = LiveView(Console(file=output, width=140), "a model", Budget())
    found = trial(1).with_(reference=True)
    view.trial(found)
    lost = MetricScore("metric0", 0.5, 0.9, Interval(0.4, 0.3, 0.5), 0.05, False, 300)
    view.trial(found.with_(number=2, proposal=Proposal(found.plan, deployed=True), scores=(lost,), reference=False))
    assert view._best is None


def test_rivals_are_announced():
    output = io.StringIO()
    LiveView(Console(file=output, width=100), "a model", Budget()).phase("rivals")
    assert output.getvalue() == "Trying what needs no quantization …\n"


def test_an_early_stop_is_told_where_there_is_room():
    output = io.StringIO()
    view = LiveView(Console(file=output, width=200), "a model", Budget())
    view._samples = 300
    early = trial(1).with_(full=False, decided=True)
    score = replace(early.scores[0], samples=24)
    view.trial(early.with_(scores=(score,)))
    assert "accepted, decided after 24 of 300" in output.getvalue()


def test_a_question_of_the_strategy_is_announced_once_and_drawn():
    output = io.StringIO()
    view = LiveView(Console(file=output, width=100), "a model", Budget())
    for done in range(3):
        view.progress(Progress("sensitivity", done, 12))
    assert output.getvalue().splitlines() == ["Measuring 12 ops: what each one alone does to the output …"]
    console = Console(file=io.StringIO(), width=100, height=20, force_terminal=True, color_system=None)
    drawn = LiveView(console, "a model", Budget())
    drawn.progress(Progress("local_error", 4, 24))
    console.print(drawn._render())
    assert "4/24 samples: each op's own error" in console.file.getvalue()
