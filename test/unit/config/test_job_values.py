"""What a valid job says: shorthands, defaults, sizes, paths."""

from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoq
from autoq.config.loader import check_job, job_from_mapping, parse_job
from autoq.config.schema import Dataloader, Job
from autoq.config.sizes import format_size, parse_size
from autoq.core.errors import ConfigError
from autoq.core.precision import DType, Mode

TOY = "model: {framework: toy}\n"


def job_of(text: str) -> Job:
    return parse_job(TOY + text, "job.yaml", Path("/data"))


def test_the_smallest_job_is_a_framework() -> None:
    job = job_of("")
    assert job.tuning.strategy.name == "auto"
    assert job.runner.kind == "subprocess"


def test_integers_are_accepted_where_a_number_is_wanted() -> None:
    job = job_of("tuning: {accuracy_criterion: {absolute: 1}, exit_policy: {timeout: 60}}")
    assert job.tuning.accuracy_criterion.absolute == 1
    assert job.tuning.exit_policy.timeout == 60


def test_a_metric_may_be_a_name() -> None:
    accuracy = job_of("evaluation: {accuracy: {metric: top1}}").evaluation.accuracy
    assert accuracy is not None
    assert [m.name for m in accuracy.metric] == ["top1"]


def test_metrics_may_be_names_and_mappings_in_one_list() -> None:
    text = "evaluation: {accuracy: {metric: [top1, {name: topk, arguments: {k: 5}}], postprocess: softmax}}"
    accuracy = job_of(text).evaluation.accuracy
    assert accuracy is not None
    assert [(m.name, m.arguments) for m in accuracy.metric] == [("top1", {}), ("topk", {"k": 5})]
    assert [s.name for s in accuracy.postprocess] == ["softmax"]


def test_one_metric_may_be_given_twice_with_other_arguments() -> None:
    metric = "[{name: topk, arguments: {k: 1}}, {name: topk, arguments: {k: 5}}]"
    accuracy = job_of(f"evaluation: {{accuracy: {{metric: {metric}}}}}").evaluation.accuracy
    assert accuracy is not None
    assert len(accuracy.metric) == 2


def test_a_strategy_may_be_a_name_or_carry_options() -> None:
    assert job_of("tuning: {strategy: random}").tuning.strategy.name == "random"
    assert job_of("tuning: {strategy: {name: exhaustive, max_plans: 3}}").tuning.strategy.options == {"max_plans": 3}


def test_a_rule_may_be_one_value_or_a_list() -> None:
    text = (
        "quantization: {approach: post_training_auto_quant, model_wise: {modes: static, weight: {dtype: [int8, fp32]}}}"
    )
    rules = job_of(text).quantization.model_wise
    assert rules.modes == [Mode.STATIC]
    assert rules.weight.dtype == [DType.INT8, DType.FP32]


def test_held_out_may_be_a_share_or_a_dataloader() -> None:
    share = job_of("evaluation: {accuracy: {metric: f1, held_out: 0.3}}").evaluation.accuracy
    own = job_of("evaluation: {accuracy: {metric: f1, held_out: {dataset: {npz: {path: a}}}}}").evaluation.accuracy
    assert share is not None
    assert own is not None
    assert share.held_out == 0.3
    assert isinstance(own.held_out, Dataloader)


def test_a_memory_limit_is_read_into_bytes() -> None:
    assert job_of("runner: {memory: 512MiB}").runner.memory == 512 * 2**20
    assert job_of("runner: {memory: 1000}").runner.memory == 1000


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("4 gb", 4 * 10**9), ("1.5GiB", 3 * 2**29), ("7", 7), ("7B", 7), ("2TB", 2 * 10**12)],
)
def test_a_size_is_decimal_or_binary_by_its_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "4 G B", "4Gb/s", "0", "0.1B", "9999999TB", "٣GB", "1" * 200])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="memory"):
        parse_size(text)


@given(st.integers(1, 2**62))
def test_a_printed_size_reads_back_as_about_the_same(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.06, abs=1)


def test_relative_paths_start_from_the_folder_of_the_file() -> None:
    job = job_of("")
    assert job.resolve("a/b.npz") == Path("/data/a/b.npz")
    assert job.resolve("/abs") == Path("/abs")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert job_of("").resolve("~/x") == Path("/home/somebody/x")


def test_a_tilde_of_nobody_is_a_plain_name() -> None:
    assert job_of("").resolve("~no_such_user_here/x") == Path("/data/~no_such_user_here/x")


def test_python_values_are_taken_as_a_file_would_hold_them() -> None:
    class Colour(Enum):
        TOY = "toy"

    job = job_from_mapping(
        {
            "model": {"framework": Colour.TOY, "path": Path("m.onnx"), "inputs": ("a", "b")},
            "tuning": {"random_seed": np.int64(7), "exit_policy": {"timeout": np.float32(0.5)}},
        },
        Path("/data"),
    )
    assert (job.model.path, job.model.inputs) == ("m.onnx", ["a", "b"])
    assert (job.tuning.random_seed, job.tuning.exit_policy.timeout) == (7, 0.5)


def test_a_job_knows_where_its_keys_stand() -> None:
    job = job_of("tuning:\n  workspace: here\n")
    assert job.where("tuning", "workspace") == "job.yaml:3:14"
    assert Job.model_validate({"model": {"framework": "toy"}}).where("tuning", "workspace") is None


def test_a_job_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        job_of("").model.name = "other"


@pytest.mark.parametrize(
    ("framework", "approach", "able"),
    [
        ("onnxrt_qdq", "post_training_static_quant", True),
        ("onnxrt_qdq", "post_training_auto_quant", True),
        ("onnxrt_qdq", "post_training_dynamic_quant", False),
        ("onnxrt_qlinearops", "post_training_static_quant", True),
        ("onnxrt_qlinearops", "post_training_dynamic_quant", False),
        ("onnxrt_integerops", "post_training_dynamic_quant", True),
        ("onnxrt_integerops", "post_training_static_quant", False),
        ("onnxrt_integerops", "post_training_auto_quant", False),
    ],
)
def test_an_approach_must_suit_the_framework(framework: str, approach: str, able: bool) -> None:
    data = {"model": {"framework": framework}, "quantization": {"approach": approach}}
    if able:
        job_from_mapping(data, Path())
    else:
        with pytest.raises(ConfigError, match=f"{framework} cannot do {approach}"):
            job_from_mapping(data, Path())


def test_a_framework_without_the_default_approach_is_told_at_the_framework() -> None:
    with pytest.raises(ConfigError, match=r"job\.yaml:1:20: .*the default approach"):
        parse_job("model: {framework: onnxrt_integerops}\n", "job.yaml", Path())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quantization: {model_wise: {modes: [dynamic]}}", r"2:36: .*mode dynamic"),
        ("quantization: {op_wise: {a: {fallback: false, weight: {dtype: fp32}}}}", "2:40: .*forbids float"),
        ("tuning: {objective: size, objectives: {latency: 1}}", "2:21: both objective and objectives"),
        ("tuning: {strategy: {name: ilp, patience: many}}", r"2:42: tuning\.strategy\.patience must be a whole number"),
        ("tuning: {strategy: {name: ilp, screen: true}}", "2:40: .*not True"),
        ("tuning: {strategy: {name: ilp, patience: -3}}", "2:42: .*0 or more, not -3"),
        ("tuning: {strategy: {name: ilp, cut_trials: 3}}", "2:32: strategy ilp has no option 'cut_trials'"),
        ("runner: {kind: in_process, memory: 1GB}", r"2:36: runner\.memory cannot be enforced"),
        ("runner: {kind: in_process, timeout: 3}", r"2:37: runner\.timeout cannot be enforced"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        job_of(text)


def test_a_job_made_in_python_can_be_checked() -> None:
    job = Job.model_validate({"model": {"framework": "toy"}, "runner": {"kind": "in_process", "timeout": 3}})
    with pytest.raises(ConfigError, match="cannot be enforced"):
        check_job(job)


def test_fit_checks_a_job_made_in_python() -> None:
    job = Job.model_validate({"model": {"framework": "toy"}, "runner": {"kind": "in_process", "timeout": 3}})
    with pytest.raises(ConfigError, match="cannot be enforced"):
        autoq.fit("model.json", job)
