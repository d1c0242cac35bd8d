from drawn_core import int8
from hypothesis import given
from hypothesis import strategies as st

from autoq.core.capability import Op
from autoq.core.precision import FP32
from autoq.core.space import Unit
from autoq.strategies.regions import LONG_PREFIXES, Region, blocks, by_type, halves, prefixes, suffixes


def units(*types: str) -> list[Unit]:
    return [Unit(f"op{i}", (Op(f"op{i}", kind),), (int8(), FP32)) for i, kind in enumerate(types)]


networks = st.lists(st.sampled_from(["Conv", "Add", "MatMul"]), max_size=70).map(lambda types: units(*types))


def ids(some: list[Unit]) -> frozenset[str]:
    return frozenset(u.id for u in some)


def sizes(regions: list[Region]) -> list[int]:
    return [len(r.units) for r in regions]


@given(networks)
def test_prefixes_start_at_the_first_unit_and_grow(network: list[Unit]) -> None:
    regions = prefixes(network)
    assert all(r.units == ids(network[: len(r.units)]) for r in regions)
    assert sizes(regions) == sorted(set(sizes(regions)))


@given(networks)
def test_suffixes_end_at_the_last_unit_and_grow(network: list[Unit]) -> None:
    regions = suffixes(network)
    assert all(r.units == ids(network[len(network) - len(r.units) :]) for r in regions)
    assert sizes(regions) == sorted(set(sizes(regions)))


@given(networks, st.integers(1, 12))
def test_blocks_part_the_network_evenly(network: list[Unit], count: int) -> None:
    regions = blocks(network, count)
    assert frozenset().union(*(r.units for r in regions)) == ids(network)
    assert sum(sizes(regions)) == len(network)
    assert not regions or max(sizes(regions)) - min(sizes(regions)) <= 1


@given(networks)
def test_halves_go_from_coarse_to_single_units_without_repeating(network: list[Unit]) -> None:
    regions = halves(network)
    assert len({r.units for r in regions}) == len(regions)
    assert {frozenset({u.id}) for u in network} <= {r.units for r in regions}
    assert all(r.units for r in regions)


def test_halves_of_eight_units() -> None:
    assert sizes(halves(units(*["Conv"] * 8))) == [4, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]


def test_types_come_most_frequent_first() -> None:
    found = by_type(units("Add", "Conv", "Conv", "MatMul", "Conv", "Add"))
    assert [(r.name, len(r.units)) for r in found] == [("all Conv", 3), ("all Add", 2), ("all MatMul", 1)]


def test_one_type_alone_is_no_region() -> None:
    assert by_type(units("Conv", "Conv")) == []


def test_regions_are_named_for_the_history() -> None:
    network = units(*["Conv"] * 12)
    assert [r.name for r in prefixes(network)] == [f"first {n} ops" for n in (1, 2, 3, 4, 6)]
    assert [r.name for r in suffixes(network)] == [f"last {n} ops" for n in (1, 2, 4)]
    assert [r.name for r in blocks(network)][:2] == ["ops 1 to 2", "ops 3 to 4"]


def test_long_prefixes_leave_something_quantized() -> None:
    network = units(*["Conv"] * 24)
    assert sizes(prefixes(network, LONG_PREFIXES)) == [15, 18, 21]


def test_an_empty_network_has_no_regions() -> None:
    assert blocks([]) == by_type([]) == halves([]) == []
