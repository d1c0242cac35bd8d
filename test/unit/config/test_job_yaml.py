"""YAML itself: what is read, and the surprises that are refused."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoq.config.reader import read_document
from autoq.config.scalars import TrapError, resolve_plain
from autoq.core.errors import ConfigError


def read(text: str) -> dict[str, Any]:
    document = read_document(text, "job.yaml")
    assert not document.problems
    return document.data


def refusal(text: str) -> str:
    try:
        problems = read_document(text, "job.yaml").problems
    except ConfigError as error:
        return str(error)
    assert len(problems) == 1
    assert problems[0].mark is not None
    return f"{problems[0].mark.line}:{problems[0].mark.column}: {problems[0].message}; {problems[0].hint}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("+3", 3),
        ("-0", 0),
        ("true", True),
        ("NULL", None),
        ("~", None),
        ("", None),
        ("y", "y"),
        ("n", "n"),
        ("1.2.3", "1.2.3"),
        ("'010'", "010"),
        ('"no"', "no"),
        ("!!str 010", "010"),
        ("! 12", "12"),
        ("re:.*", "re:.*"),
        ("my_data:batches", "my_data:batches"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: object) -> None:
    found = read(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no", "write false"),
        ("On", "write true"),
        ("yes", "write true"),
        ("OFF", "write false"),
        ("010", "write 10 (or 8, if octal is meant)"),
        ("089", "write 89 for the number"),
        ("0x1F", "in decimal"),
        ("0o17", "in decimal"),
        ("0b11", "in decimal"),
        ("1_000", "write 1000"),
        ("1:30", "base 60"),
        ("190:20:30", "base 60"),
        ("2024-01-31", "a date"),
        ("2024-1-3T10:00:00Z", "a date"),
        (".inf", "not a finite number"),
        (".NaN", "not a finite number"),
        ("1e999", "too large"),
        ("9223372036854775808", "64 bits"),
    ],
)
def test_a_scalar_that_readers_disagree_about_is_refused(text: str, said: str) -> None:
    message = refusal(f"a:\n  - {text}")
    assert message.startswith("2:5: ")
    assert said in message


def test_a_key_is_always_text() -> None:
    assert read("a: {no: 1, 12: 2, 1e-3: 3, 2024-01-31: 4, true: 5}")["a"] == {
        "no": 1,
        "12": 2,
        "1e-3": 3,
        "2024-01-31": 4,
        "true": 5,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' stands here and in line 1"),
        ("a: {'b': 1, b: 2}\n", "1:13: the key 'b' stands here and in line 1"),
        ("? [1, 2]\n: 3\n", "1:3: a key is a list"),
        ("'': 3\n", "a key is empty"),
        ("a:\n\tb: 1\n", "job.yaml:2:1: a tab: YAML indents with spaces only"),
        ("a: [1, 2\nb: 3\n", "job.yaml:2:2: this is not YAML"),
        ("a: 'x\n", "this is not YAML"),
        ("a: 1\n---\nb: 2\n", "job.yaml:2:1: the file holds more than one YAML document"),
        ("a: !!python/object/apply:os.system ['true']\n", "job.yaml:1:4: the tag !!python/object/apply:os.system"),
        ("a: !mine 3\n", "job.yaml:1:4: the tag !mine"),
        ("a: !!int '3'\n", "the tag !!int"),
        ("a: *b\n", "job.yaml:1:4: the alias *b names no anchor before it"),
        ("a: &b [*b]\n", "the alias *b names no anchor before it"),
        ('a: "\\ud800"\n', "U+D800 may not stand in a job"),
        ('a: "x\\0y"\n', "U+0000 may not stand in a job"),
        ('a: "\\U99999999"\n', "not valid"),
        ("%YAML 2.0\n---\na: 1\n", "this is not YAML"),
        ("a: {<<: 3}\n", "1:9: << merges mappings"),
    ],
)
def test_yaml_that_is_no_job_is_refused_with_its_place(text: str, said: str) -> None:
    assert said in refusal(text)


def test_deep_nesting_is_refused() -> None:
    assert "nested more than 40 deep" in refusal("a: " + "[" * 100_000)


def test_deep_nesting_through_aliases_is_refused() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{i}: &a{i} [[[[[*a{i - 1}]]]]]" for i in range(1, 100)]
    assert "nested more than 40 deep" in refusal("\n".join(lines))


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert "aliases written out" in refusal("\n".join(lines))


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    data = read("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 9}\n")
    assert data["z"] == {"a": 9, "b": 2, "c": 4}


def test_a_merged_value_keeps_the_place_where_it_was_written() -> None:
    document = read_document("x: &x {a: 1}\nz: {<<: *x}\n", "job.yaml")
    assert document.origin.where(("z", "a")) == "job.yaml:1:11"


def test_a_place_counts_lines_and_columns_from_one() -> None:
    origin = read_document("a:\n  - b: 1\n  - c: 2\n", "job.yaml").origin
    assert origin.where(("a", 1, "c")) == "job.yaml:3:8"
    assert origin.where(("a", 1, "c"), of_key=True) == "job.yaml:3:5"


def test_the_place_of_what_is_missing_is_the_section_around_it() -> None:
    origin = read_document("a:\n  b: {c: 1}\n", "job.yaml").origin
    assert origin.where(("a", "b", "d")) == "job.yaml:2:3"


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    from autoq.config.loader import load_job

    file = tmp_path / "job.yaml"
    file.write_bytes(b"\xef\xbb\xbfmodel: {framework: toy}\n")
    assert load_job(file).model.framework == "toy"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_python_writes_is_read_back(number: float) -> None:
    assert resolve_plain(repr(number)) == number


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_of_64_bits_is_read_back(number: int) -> None:
    assert resolve_plain(str(number)) == number


@given(st.text())
def test_any_text_is_a_scalar_or_a_trap(text: str) -> None:
    with contextlib.suppress(TrapError):
        value = resolve_plain(text)
        assert value is None or isinstance(value, bool | int | float) or value == text
