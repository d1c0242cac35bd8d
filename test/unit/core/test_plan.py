from drawn_core import dynamic, ids, int8, op_precisions, plans, proposals, strict_json
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.capability import Recipe
from autoq.core.plan import FP32_PLAN, Plan, Proposal
from autoq.core.precision import FP32, OpPrecision


@given(plans())
def test_plan_survives_json(plan: Plan) -> None:
    again = Plan.from_json(strict_json(plan.to_json()))
    assert again == plan
    assert again.digest == plan.digest


@given(plans(), plans())
def test_digests_are_equal_exactly_when_plans_are(one: Plan, other: Plan) -> None:
    assert (one.digest == other.digest) == (one == other)
    assert one != other or hash(one) == hash(other)


@given(st.dictionaries(ids, op_precisions(), max_size=6), st.randoms())
def test_order_of_ops_does_not_matter(precisions: dict[str, OpPrecision], random: object) -> None:
    shuffled = list(precisions.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Plan(dict(shuffled)) == Plan(precisions)
    assert Plan(dict(shuffled)).digest == Plan(precisions).digest


@given(plans(), ids)
def test_an_absent_op_is_fp32(plan: Plan, op: str) -> None:
    without = plan.with_precisions({op: FP32})
    assert without[op] == FP32
    assert op not in list(without)
    assert without == Plan({k: v for k, v in plan.precisions.items() if k != op}, plan.recipes)


def test_naming_an_op_as_fp32_is_the_same_plan() -> None:
    assert Plan({"a": FP32, "b": int8()}) == Plan({"b": int8()})
    assert Plan({"a": FP32}) == FP32_PLAN


def test_order_of_recipes_matters() -> None:
    first, second = Recipe("equalize"), Recipe("bias_correction")
    assert Plan({}, (first, second)) != Plan({}, (second, first))


def test_recipes_alone_are_not_the_float_plan() -> None:
    assert FP32_PLAN.is_baseline
    assert not Plan({}, (Recipe("equalize"),)).is_baseline
    assert not Plan({"a": int8()}).is_baseline


def test_a_plan_is_not_equal_to_other_things() -> None:
    assert Plan() != {}


def test_palette_holds_each_precision_once() -> None:
    plan = Plan({f"op{i}": (int8(), dynamic())[i % 2] for i in range(50)})
    assert len(plan.to_json()["palette"]) == 2


@given(proposals())
def test_proposal_survives_json(proposal: Proposal) -> None:
    assert Proposal.from_json(strict_json(proposal.to_json())) == proposal
