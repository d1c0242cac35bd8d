"""Every mistake in a job file is told with its place and what to write instead."""

from pathlib import Path

import pytest

from autoq.config.loader import job_from_mapping, load_job, parse_job
from autoq.core.errors import ConfigError

MODEL = "model: {framework: onnxrt_qdq, path: model.onnx}\n"


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_job(text, "job.yaml", Path("/data"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("model: {framework: onnxrt_qd}\n", "job.yaml:1:20", "did you mean 'onnxrt_qdq'"),
        ("model: {path: model.onnx}\n", "job.yaml:1:1", "lacks the key 'framework'"),
        ("runner: {}\n", "job.yaml:1:1", "lacks the section 'model'"),
        (MODEL[:-2] + ", weights: w.pt}\n", "job.yaml:1:50", "model.weights is not read by framework onnxrt_qdq"),
        (MODEL[:-2] + ", arguments: {a: 1}}\n", "job.yaml:1:50", "model.arguments is not read by framework onnxrt_qdq"),
        (
            "model: {framework: pytorch_fx, path: model.pt2, arguments: {a: 1}}\n",
            "job.yaml:1:49",
            "are those of a factory, and model.path 'model.pt2' is a file",
        ),
        (MODEL + "tunin: {}\n", "job.yaml:2:1", "did you mean 'tuning'"),
        (MODEL + "base: /data\n", "job.yaml:2:1", "unknown key 'base'"),
        (MODEL + "tuning:\n  max_trials: 3\n", "job.yaml:3:3", "'max_trials' belongs under tuning.exit_policy"),
        (MODEL + "tuning:\n  strategy: basc\n", "job.yaml:3:13", "did you mean 'basic'"),
        (MODEL + "tuning:\n  strategy: {name: exhaustive, max_plan: 3}\n", "job.yaml:3:32", "did you mean 'max_plans'"),
        (MODEL + "tuning:\n  random_seed: 1.5\n", "job.yaml:3:16", "must be a whole number, not 1.5"),
        (MODEL + "tuning:\n  random_seed: '1'\n", "job.yaml:3:16", "write the number without quotes"),
        (MODEL + "tuning:\n  exit_policy: {first_pass: 1}\n", "job.yaml:3:29", "must be true or false, not 1"),
        (MODEL + "tuning:\n  exit_policy:\n", "job.yaml:3:15", "give it a value, or leave the key out"),
        (MODEL + "tuning:\n  exit_policy: {timeout: -1}\n", "job.yaml:3:26", "must be above 0, not -1"),
        (MODEL + "tuning:\n  objectives: {latncy: 1}\n", "job.yaml:3:16", "did you mean 'latency'"),
        (MODEL + "tuning:\n  objectives: {size: 0}\n", "job.yaml:3:22", "must be above 0"),
        (
            MODEL + "tuning:\n  accuracy_criterion: {relative: 0.1, absolute: 1}\n",
            "job.yaml:3:23",
            "either relative or absolute, not both",
        ),
        (MODEL + "quantization:\n  model_wise: {weight: {dtype: int9}}\n", "job.yaml:3:32", "did you mean 'int8'"),
        (MODEL + "quantization:\n  model_wise: {weight: {algorithm: kl}}\n", "job.yaml:3:25", "called 'observer'"),
        (MODEL + "quantization:\n  recipes: {fold: maybe}\n", "job.yaml:3:19", "must be true or false or a mapping"),
        (MODEL + "runner: {memory: 4XB}\n", "job.yaml:2:18", "a unit such as 4GB"),
        (MODEL + "runner: {memory: 0}\n", "job.yaml:2:18", "at least 1"),
    ],
)
def test_mistake_is_told_with_its_place_and_the_way_out(text: str, place: str, said: str) -> None:
    message = error_of(text)
    assert message.startswith(f"{place}: ")
    assert said in message


@pytest.mark.parametrize(
    ("accuracy", "place", "said"),
    [
        ("metric: []", "job.yaml:4:13", "at least 1"),
        ("metric: [{nam: f1, name: f1}]", "job.yaml:4:15", "did you mean 'name'"),
        ("metric: [f1, f1]", "job.yaml:4:18", "given twice"),
        ("metric: [f1, {name: f1}]", "job.yaml:4:18", "given twice"),
        ("metric: ''", "job.yaml:4:13", "is empty"),
        ("metric: f1\n    held_out: '0.3'", "job.yaml:5:15", "must be a number or a mapping, not '0.3'"),
        ("metric: f1\n    held_out: 1", "job.yaml:5:15", "at least 0 and below 1"),
        ("metric: f1\n    dataloader: {dataset: {}}", "job.yaml:5:27", "exactly one kind of dataset"),
        ("metric: f1\n    dataloader: {dataset: {image: {root: a}}}", "job.yaml:5:28", "did you mean 'images'"),
        (
            "metric: f1\n    dataloader: {dataset: {images: {root: a, preprocess: {resize: [1]}}}}",
            "job.yaml:5:67",
            "must be at least 2 long",
        ),
        (
            "metric: f1\n    dataloader: {dataset: {images: {root: a, preprocess: {mean: [1, 2]}}}}",
            "job.yaml:5:58",
            "mean has 2 values; mode RGB takes 1 or 3",
        ),
        (
            "metric: f1\n    dataloader: {dataset: {python: {function: my_data.batches}}}",
            "job.yaml:5:47",
            "package.module:function",
        ),
    ],
)
def test_mistake_in_the_accuracy_section_is_told_with_its_place(accuracy: str, place: str, said: str) -> None:
    message = error_of(f"{MODEL}evaluation:\n  accuracy:\n    {accuracy}\n")
    assert f"{place}: " in message
    assert said in message


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    message = error_of("tuning: {strategy: basc, x: 1}\nmodel: {framework: nope, path: 010, path: b}\n")
    places = [line.split(": ")[0] for line in message.splitlines() if line.startswith("job.yaml:")]
    assert places == ["job.yaml:1:20", "job.yaml:1:26", "job.yaml:2:20", "job.yaml:2:32", "job.yaml:2:37"]


def test_a_mapping_from_python_is_told_by_its_keys() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'tuning\.strateg'.*\n.*did you mean 'strategy'"):
        job_from_mapping({"model": {"framework": "toy"}, "tuning": {"strateg": "basic"}}, Path())


def test_a_mapping_with_keys_that_are_not_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="the key 3 under the job is not text"):
        job_from_mapping({"model": {"framework": "toy"}, 3: {}}, Path())  # type: ignore[dict-item]


def test_a_mapping_that_contains_itself_is_refused() -> None:
    loop: dict[str, object] = {"framework": "toy"}
    loop["inputs"] = loop
    with pytest.raises(ConfigError, match="contains itself"):
        job_from_mapping({"model": loop}, Path())


def test_a_mapping_with_nan_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tuning\.exit_policy\.timeout is not a finite number"):
        job_from_mapping({"model": {"framework": "toy"}, "tuning": {"exit_policy": {"timeout": float("nan")}}}, Path())


def test_a_missing_job_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "resnet.yaml").write_text(MODEL)
    with pytest.raises(ConfigError, match=r"no such job file\n.*did you mean 'resnet\.yaml'"):
        load_job(tmp_path / "resnt.yaml")


def test_a_folder_is_no_job_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_job(tmp_path)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the job is empty"),
        (b"# only a comment\n", "the job is empty"),
        (b"- a\n- b\n", "a list, not a mapping of sections"),
        (b"model\n", "a single value, not a mapping of sections"),
        (b"model:\n  pa\x00th: x\n", r":2:5: this is a binary file"),
        (b"model:\n  path: caf\xe9\n", r":2:12: byte 0xe9 is not UTF-8"),
        ("model: {}\n".encode("utf-16"), "not UTF-8"),
        (b"model:\n  a: \x07\n", r":2:6: the character U\+0007"),
        (b"x" * 1_000_001, "too many for a job file"),
    ],
)
def test_what_is_no_yaml_text_is_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match=said):
        load_job(file)
