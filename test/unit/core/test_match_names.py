import contextlib
import re

import pytest
from drawn_core import table_of
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.errors import ConfigError
from autoq.core.space import OpRule, Space, SpaceRules, match_names

NAMES = ["conv1", "conv2", "conv10", "block.0/add", "block_0/add", "odd[1]*"]


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("conv1", {"conv1"}),
        ("block.0/add", {"block.0/add"}),
        ("odd[1]*", {"odd[1]*"}),
        ("conv?", {"conv1", "conv2"}),
        ("conv*", {"conv1", "conv2", "conv10"}),
        ("conv[12]", {"conv1", "conv2"}),
        (r"conv\d+", {"conv1", "conv2", "conv10"}),
        ("conv1|conv2", {"conv1", "conv2"}),
        ("re:block.0/add", {"block.0/add", "block_0/add"}),
        ("re:conv1", {"conv1"}),
        ("re:conv1.*", {"conv1", "conv10"}),
    ],
)
def test_exact_name_then_wildcard_then_expression(pattern: str, matched: set[str]) -> None:
    assert match_names(pattern, NAMES, "op") == matched


def test_a_pattern_without_match_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="op 'conv_1' matches nothing in this model") as caught:
        match_names("conv_1", NAMES, "op")
    assert caught.value.hint is not None
    assert "did you mean 'conv1'" in caught.value.hint


@pytest.mark.parametrize("pattern", ["re:(", "re:*", "re:a{99999999999999999999}"])
def test_a_broken_expression_is_told(pattern: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"'{pattern}' is not a regular expression")):
        match_names(pattern, NAMES, "op")


def test_an_unmarked_pattern_need_not_be_an_expression() -> None:
    with pytest.raises(ConfigError, match="matches nothing"):
        match_names("conv(", NAMES, "op")


@given(st.text())
def test_any_pattern_matches_something_or_is_a_config_error(pattern: str) -> None:
    with contextlib.suppress(ConfigError):
        assert match_names(pattern, NAMES, "op") <= set(NAMES)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_every_name_matches_itself_alone(names: list[str]) -> None:
    assert all(match_names(name, names, "op") == {name} for name in names)


@pytest.mark.parametrize(
    "rules", [SpaceRules(op_wise=(("b", OpRule()),)), SpaceRules(optype_wise=(("Cov", OpRule()),))]
)
def test_a_rule_for_nothing_is_an_error(rules: SpaceRules) -> None:
    with pytest.raises(ConfigError, match="matches nothing"):
        Space.of(table_of(a="Conv"), rules)
