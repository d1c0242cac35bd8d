"""A job in the core's types."""

from pathlib import Path

import pytest

from autoq.config.loader import parse_job
from autoq.config.rules import budget, criteria, objective, recipes, space, space_rules
from autoq.config.schema import Job
from autoq.core.budget import Budget
from autoq.core.capability import Capability, CapabilityTable, Op, Recipe
from autoq.core.criterion import Criterion, Guarantee, Tolerance
from autoq.core.errors import ConfigError
from autoq.core.objective import Quantity
from autoq.core.precision import FP32, DType, Mode, Observer, OpPrecision, TensorQuant
from autoq.core.space import OpRule, TensorRule

INT8 = OpPrecision(Mode.STATIC, TensorQuant(DType.INT8), TensorQuant(DType.UINT8))
TABLE = CapabilityTable(tuple(Capability(Op(f"conv{i}", "Conv"), (INT8, FP32)) for i in range(3)))


def job_of(text: str) -> Job:
    return parse_job("model: {framework: toy}\n" + text, "job.yaml", Path())


def one_criterion(tuning: str, metric: str = "top1", name: str = "top1", higher: bool = True) -> Criterion:
    job = job_of(f"evaluation: {{accuracy: {{metric: {metric}}}}}\ntuning: {{accuracy_criterion: {{{tuning}}}}}")
    (criterion,) = criteria(job, [name], lambda _: higher)
    return criterion


@pytest.mark.parametrize(
    ("approach", "modes"),
    [
        ("post_training_static_quant", (Mode.STATIC,)),
        ("post_training_dynamic_quant", (Mode.DYNAMIC,)),
        ("post_training_auto_quant", (Mode.STATIC, Mode.DYNAMIC, Mode.WEIGHT_ONLY)),
    ],
)
def test_the_approach_decides_the_modes(approach: str, modes: tuple[Mode, ...]) -> None:
    assert space_rules(job_of(f"quantization: {{approach: {approach}}}")).modes == modes


def test_rules_keep_their_order_and_values() -> None:
    rules = space_rules(
        job_of(
            "quantization:\n"
            "  model_wise: {activation: {observer: kl}}\n"
            "  optype_wise: {Conv: {fallback: false}, 'Ma*': {modes: static}}\n"
            "  op_wise: {a: {weight: {dtype: [int8]}}}\n"
        )
    )
    assert rules.model_wise == OpRule(activation=TensorRule(observer=(Observer.KL,)))
    assert rules.optype_wise == (("Conv", OpRule(fallback=False)), ("Ma*", OpRule(modes=(Mode.STATIC,))))
    assert rules.op_wise == (("a", OpRule(weight=TensorRule(dtype=(DType.INT8,)))),)


def test_the_space_is_the_table_under_the_jobs_rules() -> None:
    made = space(job_of("quantization: {op_wise: {conv1: {weight: {dtype: fp32}}}}"), TABLE)
    assert [u.id for u in made.units] == ["conv0", "conv2"]


def test_every_pattern_that_matches_nothing_is_told_with_its_place() -> None:
    job = job_of("quantization:\n  optype_wise: {Cov: {}}\n  op_wise:\n    con0: {}\n    conv*: {}\n    're:(': {}\n")
    with pytest.raises(ConfigError) as caught:
        space(job, TABLE)
    lines = str(caught.value).splitlines()
    assert lines[1:5] == [
        "job.yaml:3:17: op type 'Cov' matches nothing in this model",
        "  → did you mean 'Conv'?",
        "job.yaml:5:5: op 'con0' matches nothing in this model",
        "  → did you mean 'conv0', 'conv2' or 'conv1'?",
    ]
    assert lines[5].startswith("job.yaml:7:5: 're:(' is not a regular expression")


def test_the_default_limit_is_one_percent() -> None:
    assert one_criterion("") == Criterion("top1", 0.01, Tolerance.RELATIVE)


def test_the_jobs_criterion_is_taken_over_whole() -> None:
    found = one_criterion("absolute: 2, confidence: 0.9, guarantee: population")
    assert found == Criterion("top1", 2.0, Tolerance.ABSOLUTE, True, 0.9, Guarantee.POPULATION)


def test_a_metrics_own_limit_goes_before_the_jobs() -> None:
    found = one_criterion("relative: 0.05, confidence: 0.9", "{name: top1, absolute: 0.02}")
    assert found == Criterion("top1", 0.02, Tolerance.ABSOLUTE, True, 0.9)


def test_a_limit_of_zero_is_a_limit() -> None:
    assert one_criterion("relative: 0").limit == 0


def test_a_metrics_direction_is_its_own() -> None:
    assert one_criterion("", "mse", "mse", higher=False).higher_is_better is False


def test_a_named_metric_with_the_wrong_direction_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"job\.yaml:2:45: metric mse is better when lower"):
        one_criterion("", "{name: mse, higher_is_better: true}", "mse", higher=False)


def test_a_function_gets_its_direction_from_the_job() -> None:
    assert one_criterion("higher_is_better: false", "my.module:loss", "my.module:loss").higher_is_better is False


def test_a_functions_own_direction_goes_before_the_jobs() -> None:
    metric = "{name: 'my.module:loss', higher_is_better: false}"
    assert one_criterion("higher_is_better: true", metric, "my.module:loss").higher_is_better is False


def test_the_second_metric_of_a_name_has_its_own_limit() -> None:
    metric = "[{name: topk, arguments: {k: 1}, absolute: 0.1}, {name: topk, arguments: {k: 5}, absolute: 0.2}]"
    job = job_of(f"evaluation: {{accuracy: {{metric: {metric}}}}}")
    assert [c.limit for c in criteria(job, ["topk", "topk#2"], lambda _: True)] == [0.1, 0.2]


def test_a_score_that_the_job_does_not_name_gets_the_jobs_criterion() -> None:
    job = job_of("tuning: {accuracy_criterion: {absolute: 3, higher_is_better: false}}")
    assert criteria(job, ["eval_func"], lambda _: True) == (Criterion("eval_func", 3.0, Tolerance.ABSOLUTE, False),)


def test_one_objective() -> None:
    assert objective(job_of("tuning: {objective: size}")).weights == ((Quantity.SIZE, 1.0),)


def test_several_objectives_with_weights() -> None:
    found = objective(job_of("tuning: {objectives: {memory: 1, latency: 3}}"))
    assert found.weights == ((Quantity.MEMORY, 1.0), (Quantity.LATENCY, 3.0))


def test_the_budget_is_the_exit_policy() -> None:
    found = budget(job_of("tuning: {exit_policy: {max_trials: 5, timeout: 60, first_pass: true}}"))
    assert found == Budget(5, 60.0, True)


OFFERED = (Recipe("smooth_quant", (("alpha", 0.5),)), Recipe("smooth_quant", (("alpha", 0.8),)), Recipe("equalize"))


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("{}", OFFERED),
        ("{smooth_quant: false}", OFFERED[2:]),
        ("{smooth_quant: true}", OFFERED),
        ("{smooth_quant: {alpha: 0.3}}", (Recipe("smooth_quant", (("alpha", 0.3),)), OFFERED[2])),
        ("{unknown: false}", OFFERED),
    ],
)
def test_recipes_are_turned_off_or_given_arguments(asked: str, left: tuple[Recipe, ...]) -> None:
    assert recipes(job_of(f"quantization: {{recipes: {asked}}}"), OFFERED) == left


def test_a_recipe_that_does_not_apply_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"job\.yaml:2:26: recipe 'smooth_qant' .*\n.*did you mean 'smooth_quant'"):
        recipes(job_of("quantization: {recipes: {smooth_qant: true}}"), OFFERED)


def test_a_slip_in_what_is_turned_off_is_told() -> None:
    with pytest.raises(ConfigError, match="did you mean 'smooth_quant'"):
        recipes(job_of("quantization: {recipes: {smooth_qant: false}}"), OFFERED)
