from dataclasses import replace

import pytest
from drawn_core import int8, recipes, strict_json, table_of, tables
from hypothesis import given

from autoq.core.capability import Capability, CapabilityTable, Op, Recipe
from autoq.core.errors import ConfigError, ModelError
from autoq.core.precision import BF16, FP32


@given(tables())
def test_table_survives_json(table: CapabilityTable) -> None:
    again = CapabilityTable.from_json(strict_json(table.to_json()))
    assert again == table
    assert again.digest == table.digest


@given(tables())
def test_digest_leaves_marks_out(table: CapabilityTable) -> None:
    plain = [replace(row, origin="elsewhere", costs=(), note="another") for row in table]
    assert replace(table, rows=tuple(plain)).digest == table.digest


def test_digest_tells_groups_apart() -> None:
    table = table_of(a="Conv", b="Conv")
    grouped = replace(table, rows=tuple(replace(row, group="pair") for row in table))
    assert grouped.digest != table.digest


@given(recipes())
def test_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_json(strict_json(recipe.to_json())) == recipe


def test_recipe_arguments_have_one_form() -> None:
    assert Recipe("r", (("b", 1.0), ("a", 2))) == Recipe("r", (("a", 2), ("b", 1)))
    assert Recipe("smooth_quant", (("alpha", 0.5),)).label == "smooth_quant(alpha=0.5)"
    assert Recipe("equalize").label == "equalize"


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_recipe_arguments_are_finite(value: float) -> None:
    with pytest.raises(ConfigError, match="alpha must be a finite number"):
        Recipe("smooth_quant", (("alpha", value),))


@pytest.mark.parametrize("precisions", [(), (int8(),), (FP32, int8())])
def test_float_must_be_last(precisions: tuple[object, ...]) -> None:
    with pytest.raises(ModelError, match="the last precision of an op must be float") as caught:
        Capability(Op("conv", "Conv"), precisions)  # type: ignore[arg-type]
    assert caught.value.where == "conv"


def test_bf16_may_be_last() -> None:
    assert Capability(Op("conv", "Conv"), (int8(), BF16)).precisions[-1].is_float


def test_a_precision_is_listed_once() -> None:
    with pytest.raises(ModelError, match="twice"):
        Capability(Op("conv", "Conv"), (int8(), int8(), FP32))


def test_costs_match_precisions() -> None:
    with pytest.raises(ModelError, match="differ in number"):
        Capability(Op("conv", "Conv"), (int8(), FP32), costs=(0.5,))


def test_two_ops_of_one_id() -> None:
    row = Capability(Op("conv", "Conv"), (FP32,))
    with pytest.raises(ModelError, match="share one id") as caught:
        CapabilityTable((row, row))
    assert caught.value.where == "conv"


def test_edges_name_rows() -> None:
    with pytest.raises(ModelError, match="edge a → nowhere"):
        replace(table_of(a="Conv"), edges=(("a", "nowhere"),))


def test_a_group_is_not_named_like_an_op_outside_of_it() -> None:
    rows = (Capability(Op("a", "Conv"), (FP32,)), Capability(Op("b", "Conv"), (FP32,), group="a"))
    with pytest.raises(ModelError, match="name of an op outside"):
        CapabilityTable(rows)


def test_a_group_may_be_named_like_one_of_its_ops() -> None:
    rows = tuple(Capability(Op(name, "Conv"), (FP32,), group="a") for name in ("a", "b"))
    assert len(CapabilityTable(rows)) == 2


def test_rows_are_found_by_id() -> None:
    table = table_of(a="Conv", b="Add")
    assert [op.id for op in table.ops] == ["a", "b"]
    assert table["b"].op.type == "Add"
    assert "b" in table
    assert "c" not in table
