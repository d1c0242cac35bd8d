"""A job as JSON Schema, as YAML, as JSON, and as a template."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoq.config.json_schema import job_from_json, job_json_schema, job_to_json, job_to_yaml
from autoq.config.loader import job_from_mapping, parse_job
from autoq.config.schema import Job
from autoq.core.errors import ConfigError
from autoq.core.registry import ADAPTORS
from autoq.yaml_templates.catalog import Template, find_template, templates

BASE = Path("/data")

FULL = """
model: {name: "no", framework: onnxrt_qdq, path: "010", inputs: [x, "1e3"]}
quantization:
  approach: post_training_auto_quant
  calibration: {sampling_size: 8, dataloader: {dataset: {python: {function: "a.b:c", arguments: {n: [1, null, no_]}}}}}
  model_wise: {modes: [static, dynamic], weight: {dtype: int8}}
  optype_wise: {"Conv": {fallback: true}, "re:Mat.*": {}}
  op_wise: {"<<": {}, "12": {activation: {observer: kl}}, "no": {}, "/a/b: c # d": {}}
  recipes: {smooth_quant: {alpha: 1.0e-7}, fold: true}
evaluation:
  accuracy:
    metric: [top1, {name: topk, arguments: {k: 5}, absolute: 1}]
    postprocess: [softmax]
    dataloader: {dataset: {images: {root: r, preprocess: {resize: [4, 5], std: [1, 2, 3]}}}, limit: 9}
    held_out: 0.25
tuning: {objectives: {latency: 2, size: 1}, strategy: {name: exhaustive, max_plans: 7}}
runner: {memory: 4GB, timeout: 60}
"""


def accepts(data: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(job_json_schema()).is_valid(data))


@pytest.fixture
def full() -> Job:
    return parse_job(FULL, "job.yaml", BASE)


def test_a_job_survives_yaml(full: Job) -> None:
    assert parse_job(job_to_yaml(full), "again.yaml", BASE) == full


def test_other_yaml_readers_read_the_same_values(full: Job) -> None:
    data = yaml.safe_load(job_to_yaml(full))
    assert data["model"] == {"name": "no", "framework": "onnxrt_qdq", "path": "010", "inputs": ["x", "1e3"]}
    assert data["quantization"]["recipes"]["smooth_quant"]["alpha"] == 1e-7


def test_yaml_leaves_defaults_out() -> None:
    job = parse_job("model: {framework: toy}\ntuning: {random_seed: 0}", "job.yaml", BASE)
    assert yaml.safe_load(job_to_yaml(job))["model"] == {"framework": "toy"}


def test_a_job_survives_json_with_its_base(full: Job) -> None:
    again = job_from_json(json.loads(json.dumps(job_to_json(full))))
    assert again == full
    assert again.base == BASE


def test_json_holds_every_setting() -> None:
    data = job_to_json(job_from_mapping({"model": {"framework": "toy"}}, BASE))
    assert data["tuning"]["accuracy_criterion"]["confidence"] == 0.95


def test_a_job_with_options_from_the_command_line_survives_json(full: Job) -> None:
    changed = full.model_copy(update={"runner": full.runner.model_copy(update={"kind": "in_process"})})
    assert job_from_json(job_to_json(changed)).runner.kind == "in_process"


def test_json_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'model\.color'"):
        job_from_json({"model": {"framework": "toy", "color": 1}, "base": "."})


def test_an_argument_without_a_text_form_is_refused() -> None:
    metric = {"name": "top1", "arguments": {"f": object()}}
    job = job_from_mapping({"model": {"framework": "toy"}, "evaluation": {"accuracy": {"metric": metric}}}, BASE)
    with pytest.raises(ConfigError, match="no text form"):
        job_to_json(job)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        max_size=4,
    )
)
def test_any_text_survives_yaml(arguments: dict[str, str]) -> None:
    metric = {"name": "top1", "arguments": arguments}
    job = job_from_mapping({"model": {"framework": "toy"}, "evaluation": {"accuracy": {"metric": metric}}}, BASE)
    assert parse_job(job_to_yaml(job), "job.yaml", BASE) == job


def test_the_schema_is_a_valid_schema() -> None:
    schema = job_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_accepts_what_the_loader_accepts(full: Job) -> None:
    assert accepts(yaml.safe_load(FULL))
    assert accepts({k: v for k, v in job_to_json(full).items() if k != "base"})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"model": {"framework": "nope"}},
        {"model": {"framework": "toy"}, "base": "/x"},
        {"model": {"framework": "toy"}, "tuning": {"max_trials": 3}},
        {"model": {"framework": "toy"}, "tuning": {"exit_policy": {"max_trials": 0}}},
        {"model": {"framework": "toy"}, "quantization": {"model_wise": {"weight": {"dtype": "int9"}}}},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(data: dict[str, Any]) -> None:
    assert not accepts(data)
    with pytest.raises(ConfigError):
        job_from_mapping(data, BASE)


def test_every_key_of_the_schema_is_described() -> None:
    schema = job_json_schema()
    sections = {"job": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, value in section.get("properties", {}).items()
        if not value.get("description") and "$ref" not in value
    ]
    assert bare == []


def test_every_key_of_the_schema_is_in_the_reference() -> None:
    reference = (Path(__file__).parents[3] / "docs" / "job-file.md").read_text(encoding="utf-8")
    schema = job_json_schema()
    keys = {key for s in [schema, *schema["$defs"].values()] for key in s.get("properties", {})}
    told = {*re.findall(r"`(\w+)`", reference), *re.findall(r"^#+ (\w+)$", reference, re.MULTILINE)}
    assert keys - told == set()


@pytest.mark.parametrize("template", templates(), ids=lambda t: t.name)
def test_every_template_is_a_valid_job(template: Template) -> None:
    job = parse_job(template.text, f"{template.name}.yaml", BASE)
    assert (job.model.framework, job.quantization.approach) == (template.framework, template.approach)
    assert accepts(yaml.safe_load(template.text))


@pytest.mark.parametrize("template", templates(), ids=lambda t: t.name)
def test_every_example_in_a_templates_comments_is_valid_yaml_of_the_schema(template: Template) -> None:
    lines = template.text.splitlines()
    shown = [
        line.replace("# ", "", 1) if line.startswith(("  # optype", "  # op_", "  #   ")) else line for line in lines
    ]
    parse_job("\n".join(shown), f"{template.name}.yaml", BASE)


def test_every_framework_has_a_template_for_each_approach_but_the_slower_ones() -> None:
    have = {(t.framework, t.approach) for t in templates()}
    assert {f for f, _ in have} == set(ADAPTORS) - {"toy"}
    assert all(approach in ADAPTORS[framework].approaches for framework, approach in have)


def test_a_template_is_found_by_the_short_form_of_an_approach() -> None:
    assert find_template("onnxrt_qdq", "auto").approach == "post_training_auto_quant"


def test_the_usual_template_of_a_framework() -> None:
    assert find_template("onnxrt_qdq").approach == "post_training_static_quant"
    assert find_template("onnxrt_integerops").approach == "post_training_dynamic_quant"


def test_a_template_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no template for framework 'onnx'\n.*did you mean"):
        find_template("onnx")
    with pytest.raises(ConfigError, match="it has: post_training_dynamic_quant"):
        find_template("onnxrt_integerops", "static")
