"""Whatever is in a job file, the loader returns a job or says what is wrong."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoq.config.loader import job_from_mapping, load_job, parse_job
from autoq.config.schema import Job
from autoq.core.errors import ConfigError
from autoq.yaml_templates.catalog import templates

# Short, so that a mutation hits something, with every shape a job knows.
COMPACT = """\
model: {framework: onnxrt_qdq, path: m, inputs: [a]}
quantization:
  approach: post_training_auto_quant
  model_wise: &w {weight: {dtype: [int8]}, modes: static}
  op_wise: {"re:a.*": {<<: *w, fallback: false}}
  recipes: {r: {alpha: 0.5}, s: true}
evaluation:
  accuracy:
    metric: [f1, {name: topk, arguments: {k: 5}, relative: 1e-3}]
    held_out: 0.3
    dataloader: {dataset: {images: {root: r, preprocess: {resize: [4, 5]}}}}
tuning: {strategy: {name: random}, objectives: {latency: 1}, exit_policy: {timeout: 60}}
runner: {memory: 4GB}
"""

SEEDS = (COMPACT, *(t.text for t in templates()))

PIECES = (
    *"[]{}:,&*!|>'\"%@`#-?\t\n\r ~=<\\",
    "<<: *w", "&w ", "*w", "!!python/name:os.system ", "---\n", "...\n", "\ufeff", "\x00", "\x85", "\u2028", "\ud7ff",
    "null", "no", "010", "1e-3", ".inf", ".nan", "0x1F", "1:30", "2024-01-31", "9" * 30, "9" * 5000, "-1", "1.5", "''",
    '"\\ud800"', '"\\UFFFFFFFF"', "[" * 60, "{a: " * 60, "? ", "%YAML 1.1\n", "name", "framework", "base: x\n", "é",
)  # fmt: skip


def loads_or_refuses(load: Any, *arguments: Any) -> None:
    """Any other exception than a ConfigError fails the test."""
    with contextlib.suppress(ConfigError):
        assert isinstance(load(*arguments), Job)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    # The compact job is the likelier one: long comments swallow mutations.
    text = draw(st.sampled_from((COMPACT, COMPACT, COMPACT, *SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.sampled_from((start, start, start + 1, start + 3, start + 20)))
        kind = draw(st.integers(0, 2))
        if kind == 0:
            new = draw(st.sampled_from(PIECES))
        elif kind == 1:
            other = draw(st.integers(0, len(text)))
            new = text[other : other + draw(st.integers(1, 30))]
        else:
            new = draw(st.text(max_size=3))
        text = text[:start] + new + text[stop:]
    return text


@pytest.mark.parametrize("text", SEEDS)
def test_the_jobs_that_are_mutated_are_valid(text: str) -> None:
    parse_job(text, "job.yaml", Path())


@settings(max_examples=1000, deadline=None)
@given(mutated())
def test_a_mutated_job_loads_or_is_refused(text: str) -> None:
    loads_or_refuses(parse_job, text, "job.yaml", Path())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(COMPACT)))
def test_random_bytes_in_a_job_file_load_or_are_refused(tmp_path_factory: Any, noise: bytes, at: int) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    raw = COMPACT.encode()
    file.write_bytes(raw[:at] + noise + raw[at:])
    loads_or_refuses(load_job, file)


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_loads_or_is_refused(text: str) -> None:
    loads_or_refuses(parse_job, text, "job.yaml", Path())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_mapping_with_any_value_swapped_loads_or_is_refused(data: st.DataObject) -> None:
    job = parse_job(COMPACT, "job.yaml", Path()).model_dump(mode="json")
    at: Any = job
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not at[key] or not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            at[key] = data.draw(VALUES)
            break
        at = at[key]
    loads_or_refuses(job_from_mapping, job, Path())
