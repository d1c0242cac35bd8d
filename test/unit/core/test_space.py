import contextlib

import pytest
from drawn_core import dynamic, int8, op_precisions, strict_json, table_of, tables
from hypothesis import assume, given
from hypothesis import strategies as st

from autoq.core.capability import Capability, CapabilityTable, Op
from autoq.core.errors import ConfigError, ModelError
from autoq.core.plan import FP32_PLAN, Plan
from autoq.core.precision import BF16, FP32, DType, Granularity, Mode, Observer, OpPrecision
from autoq.core.space import OpRule, Space, SpaceRules, TensorRule


def precisions_of(rules: SpaceRules, op: str = "conv1", **types: str) -> list[str]:
    space = Space.of(table_of(**(types or {"conv1": "Conv", "conv2": "Conv", "add1": "Add"})), rules)
    unit = space.by_id.get(op)
    return [p.label for p in unit.precisions] if unit is not None else [space.fixed[op].label]


MINMAX, KL, DYNAMIC = int8().label, int8(observer=Observer.KL).label, dynamic().label
STATIC_ONLY = OpRule(modes=(Mode.STATIC,))
KL_ONLY = OpRule(activation=TensorRule(observer=(Observer.KL,)))


def test_without_rules_everything_may_be_searched() -> None:
    assert precisions_of(SpaceRules()) == [MINMAX, KL, DYNAMIC, "bf16", "fp32"]


def test_the_approach_narrows_modes_and_keeps_float() -> None:
    assert precisions_of(SpaceRules(modes=(Mode.DYNAMIC,))) == [DYNAMIC, "bf16", "fp32"]


def test_model_wise_holds_for_every_op() -> None:
    rules = SpaceRules(model_wise=STATIC_ONLY)
    assert precisions_of(rules, "conv1") == precisions_of(rules, "add1") == [MINMAX, KL, "bf16", "fp32"]


def test_op_wise_overrides_optype_wise_overrides_model_wise() -> None:
    def observer(one: Observer) -> OpRule:
        return OpRule(activation=TensorRule(observer=(one,)), modes=(Mode.STATIC,))

    rules = SpaceRules(
        model_wise=observer(Observer.KL),
        optype_wise=(("Add", observer(Observer.MINMAX)),),
        op_wise=(("conv2", observer(Observer.MINMAX)),),
    )
    assert precisions_of(rules, "conv1") == [KL, "bf16", "fp32"]
    assert precisions_of(rules, "add1") == [MINMAX, "bf16", "fp32"]
    assert precisions_of(rules, "conv2") == [MINMAX, "bf16", "fp32"]


def test_rules_are_overridden_key_by_key() -> None:
    rules = SpaceRules(model_wise=STATIC_ONLY, op_wise=(("conv1", KL_ONLY),))
    assert precisions_of(rules, "conv1") == [KL, "bf16", "fp32"]
    assert precisions_of(rules, "conv2") == [MINMAX, KL, "bf16", "fp32"]


def test_of_two_op_wise_rules_the_later_wins() -> None:
    minmax = OpRule(activation=TensorRule(observer=(Observer.MINMAX,)), modes=(Mode.STATIC,))
    rules = SpaceRules(op_wise=(("conv*", KL_ONLY), ("conv1", minmax)))
    assert precisions_of(rules, "conv1") == [MINMAX, "bf16", "fp32"]


def test_an_observer_rule_does_not_touch_dynamic_activations() -> None:
    assert precisions_of(SpaceRules(model_wise=KL_ONLY)) == [KL, DYNAMIC, "bf16", "fp32"]


@pytest.mark.parametrize(
    "rule",
    [
        TensorRule(dtype=(DType.INT4,)),
        TensorRule(granularity=(Granularity.PER_TENSOR,)),
        TensorRule(observer=(Observer.MSE,)),
    ],
)
def test_a_weight_rule_that_no_op_satisfies_leaves_float(rule: TensorRule) -> None:
    rules = SpaceRules(optype_wise=(("Conv", OpRule(weight=rule)),))
    assert precisions_of(rules, "conv1") == ["bf16", "fp32"]


def test_float_dtype_keeps_the_op_in_that_float() -> None:
    rules = SpaceRules(op_wise=(("conv1", OpRule(weight=TensorRule(dtype=(DType.FP32,)))),))
    assert precisions_of(rules, "conv1") == ["fp32"]
    rules = SpaceRules(op_wise=(("conv1", OpRule(activation=TensorRule(dtype=(DType.BF16,)))),))
    assert precisions_of(rules, "conv1") == ["bf16"]


def test_without_fallback_float_is_gone() -> None:
    rules = SpaceRules(model_wise=OpRule(fallback=False, modes=(Mode.STATIC,)))
    assert precisions_of(rules) == [MINMAX, KL]
    assert Space.of(table_of(a="Conv"), rules).float_plan() == Plan({"a": int8()})


def test_without_fallback_and_choice_the_op_is_fixed() -> None:
    forced = OpRule(TensorRule(), TensorRule(observer=(Observer.KL,)), (Mode.STATIC,), fallback=False)
    space = Space.of(table_of(a="Conv", b="Conv"), SpaceRules(op_wise=(("a", forced),)))
    assert [u.id for u in space.units] == ["b"]
    assert space.fixed == {"a": int8(observer=Observer.KL)}
    assert space.float_plan()["a"] == int8(observer=Observer.KL)


def test_op_wise_that_asks_for_what_the_op_lacks_says_what_it_has() -> None:
    lacking = OpRule(weight=TensorRule(dtype=(DType.INT4,)), fallback=False)
    with pytest.raises(ConfigError, match=r"op_wise 'a' asks for what this op does not have") as caught:
        Space.of(table_of(a="Conv", b="Conv"), SpaceRules(op_wise=(("a", lacking),)))
    assert caught.value.where == "a"
    assert MINMAX in str(caught.value.hint)


def test_forbidding_everything_is_an_error() -> None:
    with pytest.raises(ModelError, match="no op of this model can be quantized"):
        Space.of(table_of(a="Conv"), SpaceRules(model_wise=OpRule(weight=TensorRule(dtype=(DType.FP32,)))))


# -- groups --------------------------------------------------------------------------------------------------


def grouped(*precisions: tuple[OpPrecision, ...]) -> CapabilityTable:
    rows = [Capability(Op(f"op{i}", "Conv"), p, "pair") for i, p in enumerate(precisions)]
    alone = Capability(Op("alone", "Add"), (int8(), FP32))
    return CapabilityTable((*rows, alone), (("op0", "op1"), ("op1", "alone")))


def test_a_group_has_what_all_its_ops_have() -> None:
    kl = int8(observer=Observer.KL)
    space = Space.of(grouped((int8(), kl, dynamic(), FP32), (dynamic(), kl, FP32)))
    assert space.by_id["pair"].precisions == (kl, dynamic(), FP32)
    assert space.full_plan() == Plan({"op0": kl, "op1": kl, "alone": int8()})


def test_edges_within_a_group_vanish() -> None:
    assert Space.of(grouped((int8(), FP32), (int8(), FP32))).edges == (("pair", "alone"),)


def test_a_group_that_shares_only_float_is_fixed() -> None:
    space = Space.of(grouped((int8(), FP32), (dynamic(), FP32)))
    assert space.fixed == {"op0": FP32, "op1": FP32}


def test_a_group_that_shares_nothing_is_an_error() -> None:
    rules = SpaceRules(op_wise=(("op0", OpRule(fallback=False)),))
    with pytest.raises(ConfigError, match="group 'pair' must share one precision") as caught:
        Space.of(grouped((int8(), FP32), (dynamic(), FP32)), rules)
    assert "op0, op1" in str(caught.value.hint)


def test_a_group_is_named_by_the_types_of_its_ops() -> None:
    rows = tuple(Capability(Op(f"op{i}", t), (int8(), FP32), "g") for i, t in enumerate(("Conv", "Add", "Conv")))
    assert Space.of(CapabilityTable(rows)).units[0].type == "Conv+Add"


# -- plans ---------------------------------------------------------------------------------------------------


def test_size_counts_plans() -> None:
    assert Space.of(table_of(a="Conv", b="Conv")).size == 25


def test_full_and_float_plans_are_the_two_ends() -> None:
    space = Space.of(table_of(a="Conv", b="Conv"))
    assert space.full_plan() == Plan({"a": int8(), "b": int8()})
    assert space.float_plan() == FP32_PLAN


@given(tables(), st.data())
def test_choices_is_the_inverse_of_plan(table: CapabilityTable, data: st.DataObject) -> None:
    space = _space(table)
    chosen = {u.id: data.draw(st.integers(0, len(u.precisions) - 1)) for u in space.units}
    assert space.choices(space.plan(chosen)) == chosen


@given(tables(), st.data())
def test_choices_refuses_exactly_what_lies_outside(table: CapabilityTable, data: st.DataObject) -> None:
    space = _space(table)
    names = st.sampled_from([*(op.id for op in table.ops), "another"])
    plan = space.full_plan().with_precisions(data.draw(st.dictionaries(names, op_precisions() | st.just(FP32))))
    with contextlib.suppress(ConfigError):
        assert space.plan(space.choices(plan)) == plan
        return
    units = [[space.plan({u.id: i}) for i in range(len(u.precisions))] for u in space.units]
    reachable = all(
        any(p[u.ops[0].id] == plan[u.ops[0].id] for p in ps) for u, ps in zip(space.units, units, strict=True)
    )
    together = all(len({plan[op.id] for op in u.ops}) == 1 for u in space.units)
    outside = all(plan[op] == space.fixed.get(op, FP32) for op in plan if op not in _free(space))
    fixed = all(plan[op] == p for op, p in space.fixed.items())
    assert not (reachable and together and outside and fixed)


@pytest.mark.parametrize("op", ["op1", "fixed", "unknown"])
def test_choices_names_the_op_that_does_not_fit(op: str) -> None:
    rows = [Capability(Op(f"op{i}", "Conv"), (int8(), FP32), "pair") for i in range(2)]
    space = Space.of(CapabilityTable((*rows, Capability(Op("fixed", "Softmax"), (FP32,)))))
    with pytest.raises(ConfigError, match="asks for") as caught:
        space.choices(space.float_plan().with_precisions({op: int8()}))
    assert caught.value.where == op


@given(tables())
def test_space_survives_json(table: CapabilityTable) -> None:
    space = _space(table)
    assert Space.from_json(strict_json(space.to_json())) == space


def test_bf16_alone_is_nothing_to_search_for() -> None:
    with pytest.raises(ModelError):
        Space.of(CapabilityTable((Capability(Op("a", "Conv"), (BF16, FP32)),)))


def _space(table: CapabilityTable) -> Space:
    try:
        return Space.of(table)
    except ModelError:
        assume(False)
        raise


def _free(space: Space) -> set[str]:
    return {op.id for u in space.units for op in u.ops}
