"""What stood in the way of an accepted plan, drawn from trials and findings alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.criterion import Criterion
from autoq.core.inquiry import Findings, Inquiry, Need
from autoq.core.interval import Interval
from autoq.core.plan import Proposal
from autoq.core.precision import FP32, Granularity, Mode, Observer
from autoq.core.space import OpRule, Space, SpaceRules, TensorRule
from autoq.core.trial import MetricScore, Trial, TrialState
from autoq.testing.toy import INT8
from autoq.testing.toy_model import VARIANTS
from autoq.tuning.obstacles import Obstacles, obstacles

CRITERION = Criterion("top1", 0.01)
PERCENTILE = replace(INT8, activation=replace(INT8.activation, observer=Observer.PERCENTILE))
TABLE = CapabilityTable(tuple(Capability(Op(f"op{i}", "Conv"), (INT8, PERCENTILE, FP32)) for i in range(12)))
SPACE = Space.of(TABLE)
FLOAT = 2


def trial(number, choices, loss, *, half=0.0, objective=0.5, space=SPACE, **changes):
    score = MetricScore("top1", 0.9, 0.95, Interval(loss, loss - half, loss + half), 0.01, loss <= 0.01, 300)
    done = Trial(number, Proposal(space.plan(choices)), TrialState.COMPLETE, (score,), objective=objective, full=True)
    return done.with_(**changes)


def floats(*indices):
    return {f"op{i}": FLOAT for i in indices}


def find(trials, findings=(), space=SPACE, table=TABLE, **options) -> Obstacles:
    return obstacles(trials, space, table, findings, (CRITERION,), **options)


def sensitivities(**values):
    return Findings(Inquiry(Need.SENSITIVITY, SPACE.full_plan()), values)


def test_without_a_quantized_plan_there_is_nothing_to_say():
    assert find([]) is None


def test_the_nearest_plan_is_the_one_with_the_smallest_loss_among_those_better_than_fp32():
    trials = [trial(1, {}, 0.2), trial(2, floats(0), 0.03), trial(3, floats(0, 1, 2), 0.005, objective=1.1)]
    found = find(trials)
    assert found.nearest == 2
    assert found.best_loss.loss.value == 0.03


def test_the_ops_in_the_way_are_the_sensitive_ones_that_the_nearest_plan_still_quantizes():
    values = sensitivities(op0=5.0, op1=0.5, op2=0.3, op3=0.1, op4=0.1)
    found = find([trial(1, {}, 0.2), trial(2, floats(0), 0.03)], [values])
    assert [b.units for b in found.blocking] == [("op1",)]
    assert found.blocking[0].share == pytest.approx(0.5)
    assert found.need is Need.SENSITIVITY


def test_a_blocker_carries_the_trials_that_show_it():
    trials = [trial(1, floats(3, 4), 0.05), trial(2, floats(1, 3, 4), 0.03, objective=1.2)]
    (blocker,) = find(trials, [sensitivities(op1=0.5, op2=0.1)]).blocking
    assert (blocker.won, blocker.trials) == (pytest.approx(0.02), (1, 2))


def test_without_findings_moves_to_float_that_won_most_per_op_are_the_evidence():
    trials = [trial(1, {}, 0.2), trial(2, floats(0), 0.1), trial(3, floats(0, 4, 5), 0.09)]
    found = find(trials)
    assert [(b.units, b.trials, b.floating) for b in found.blocking] == [
        (("op0",), (1, 2), True),
        (("op4", "op5"), (2, 3), True),
    ]


def test_a_move_of_a_large_part_of_the_network_is_no_evidence():
    assert find([trial(1, {}, 0.2), trial(2, floats(*range(6)), 0.05)]).blocking == ()


def test_findings_on_the_final_output_go_before_local_ones():
    local = Findings(Inquiry(Need.LOCAL_ERROR, SPACE.full_plan()), {f"op{i}": 1.0 for i in range(12)})
    assert find([trial(1, {}, 0.2)], [local, sensitivities(op7=1.0)]).need is Need.SENSITIVITY


def advice(*args, **options):
    return " ".join(find(*args, **options).advice)


def test_a_search_that_did_not_end_wants_a_larger_budget():
    assert "larger budget" in advice([trial(1, {}, 0.2)], unfinished=True)
    assert "larger budget" not in advice([trial(1, {}, 0.2)])


def test_an_interval_across_the_limit_wants_more_evaluation_samples():
    assert "between 0.00 % and 4.00 %): a larger evaluation set" in advice([trial(1, {}, 0.02, half=0.02)])
    assert "evaluation set" not in advice([trial(1, {}, 0.05, half=0.02)])


def test_observers_that_differ_much_want_more_calibration_samples():
    every = {f"op{i}": 1 for i in range(12)}
    trials = [trial(1, {}, 0.2, divergence=0.3), trial(2, every, 0.1, divergence=0.05)]
    said = advice(trials, calibration_samples=100)
    assert "0.05 with percentile (trial 2) and 0.3 with minmax (trial 1)" in said
    assert "more than 100 calibration samples" in said
    assert "calibration" not in advice(trials)


def test_few_calibration_samples_are_told():
    assert "rest on few samples: give more than 8" in advice([trial(1, {}, 0.2)], calibration_samples=8)
    assert "rest on few samples" not in advice([trial(1, {}, 0.2)], calibration_samples=64)


def test_few_ops_that_dominate_want_equalization_or_training():
    values = sensitivities(**{f"op{i}": 0.01 for i in range(11)}, op11=1.0)
    assert "op11 of 12 hold 90 %" in advice([trial(1, {}, 0.2)], [values])
    assert "cross-layer equalization" in advice([trial(1, {}, 0.2)], [values])


def test_an_error_that_is_spread_says_so():
    said = advice([trial(1, {}, 0.2)], [sensitivities(**{f"op{i}": 0.1 for i in range(12)})])
    assert "spread over the network" in said
    assert "equalization" not in said


def test_where_the_limit_is_kept_no_op_is_in_the_way_and_no_training_is_advised():
    values = sensitivities(op0=5.0, op1=0.5)
    found = find([trial(1, {}, 0.005, objective=1.5), trial(2, floats(0), 0.0, objective=1.2)], [values])
    assert found.blocking == ()
    (said,) = found.advice
    assert "Accuracy is not in the way" in said


def test_what_the_rules_leave_out_is_named():
    per_tensor, dynamic = VARIANTS["per_tensor"], VARIANTS["dynamic"]
    rows = tuple(Capability(Op(f"op{i}", "Conv"), (PERCENTILE, per_tensor, dynamic, FP32)) for i in range(4))
    table = CapabilityTable(rows)
    rule = OpRule(weight=TensorRule(granularity=(Granularity.PER_TENSOR,)))
    space = Space.of(table, SpaceRules((Mode.STATIC,), rule))
    said = advice([trial(1, {}, 0.2, space=space)], space=space, table=table)
    assert "4 of these ops can have per-channel weights" in said
    assert "allow observer percentile" in said
    assert "4 of these ops can run in mode dynamic" in said


def test_float_that_the_job_forbids_is_named():
    space = Space.of(TABLE, SpaceRules(model_wise=OpRule(fallback=False)))
    assert "forbids float for 12 ops" in advice([trial(1, {}, 0.2, space=space)], space=space)


def test_they_come_back_from_json():
    trials = [trial(1, floats(3, 4), 0.05), trial(2, floats(1, 3, 4), 0.03, objective=1.2)]
    found = find(trials, [sensitivities(op1=0.5, op2=0.1)], unfinished=True)
    assert Obstacles.from_json(json.loads(json.dumps(found.to_json()))) == found


def early(number, choices, loss, low, high, samples, divergence):
    done = trial(number, choices, loss, full=False, decided=True, divergence=divergence)
    (score,) = done.scores
    return done.with_(scores=(replace(score, loss=Interval(loss, low, high), samples=samples),))


def test_of_trials_decided_early_the_divergence_tells_which_came_nearest():
    trials = [early(1, {}, 0.02, 0.02, 1.0, 10, 3.0), early(2, floats(0), 0.03, 0.03, 1.0, 10, 0.2)]
    assert find(trials).nearest == 2


def test_losses_known_to_a_bound_on_different_samples_are_no_evidence_of_a_move():
    trials = [early(1, {}, 0.9, 0.3, 1.0, 32, 3.0), early(2, floats(0), 0.02, 0.02, 1.0, 10, 0.2)]
    assert find(trials).blocking == ()


def test_intervals_apart_are_evidence_whatever_the_samples():
    trials = [early(1, {}, 0.9, 0.3, 1.0, 32, 3.0), early(2, floats(0), 0.02, 0.01, 0.1, 10, 0.2)]
    assert find(trials).blocking[0].units == ("op0",)
