"""Calibrations on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoq.calibration import cache as cache_module
from autoq.calibration.cache import CalibrationCache, CalibrationKey
from autoq.calibration.io import content_digest, from_bytes, to_bytes
from autoq.core.errors import DataError, StoreError
from autoq.core.statistics import Calibration, Needs, TensorStatistics

KEY = CalibrationKey("model", "data", 8, Needs(("a", "b")))


def calibration(native: object = None) -> Calibration:
    return Calibration(
        {
            "a": TensorStatistics(-1.5, 2.0, np.asarray([3, 0, 2**40], np.int64), -1.5, 3.0, 2**40 + 3),
            "größe/b": TensorStatistics(0.1, 0.3, np.zeros(0, np.int64), 0.1, 0.3, 7),
        },
        8,
        "digest",
        native,
    )


def assert_same(a: Calibration, b: Calibration) -> None:
    assert (a.samples, a.digest, list(a.tensors)) == (b.samples, b.digest, list(b.tensors))
    for left, right in zip(a.tensors.values(), b.tensors.values(), strict=True):
        np.testing.assert_array_equal(left.counts, right.counts)
        assert left.counts.dtype == right.counts.dtype
        for field in ("minimum", "maximum", "low", "high", "elements"):
            assert getattr(left, field) == getattr(right, field)


def refuse() -> Calibration:
    raise AssertionError("collected although it is cached")


def test_bytes_round_trip() -> None:
    assert_same(from_bytes(to_bytes(calibration())), calibration())


def test_empty_calibration_round_trips() -> None:
    assert from_bytes(to_bytes(Calibration({}, 0, "d"))).tensors == {}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_bytes_are_refused_or_harmless(data: st.DataObject) -> None:
    whole = bytearray(to_bytes(calibration()))
    position = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole = whole[:position]
    else:
        whole[position] ^= data.draw(st.integers(1, 255))
    try:
        found = from_bytes(bytes(whole))
    except DataError:
        return
    assert_same(found, calibration())


def test_second_request_comes_from_disk(tmp_path: Path) -> None:
    CalibrationCache(tmp_path / "new").get_or_collect(KEY, calibration)
    assert_same(CalibrationCache(tmp_path / "new").get_or_collect(KEY, refuse), calibration())


@pytest.mark.parametrize(
    "other",
    [
        CalibrationKey("other", "data", 8, Needs(("a", "b"))),
        CalibrationKey("model", "other", 8, Needs(("a", "b"))),
        CalibrationKey("model", "data", 9, Needs(("a", "b"))),
        CalibrationKey("model", "data", 8, Needs(("a",))),
        CalibrationKey("model", "data", 8, Needs(("a", "b"), histogram=False)),
    ],
)
def test_every_part_of_the_key_matters(other: CalibrationKey) -> None:
    assert other.digest != KEY.digest


def test_version_of_the_code_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CalibrationKey("m", "d", 1, Needs(())).digest
    monkeypatch.setattr(cache_module, "COLLECTION", cache_module.COLLECTION + 1)
    assert CalibrationKey("m", "d", 1, Needs(())).digest != before


@pytest.mark.parametrize("damage", [b"", b"not a calibration", None])
def test_damaged_file_is_collected_again(tmp_path: Path, damage: bytes | None) -> None:
    cache = CalibrationCache(tmp_path)
    cache.get_or_collect(KEY, calibration)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20] if damage is None else damage)
    assert_same(cache.get_or_collect(KEY, calibration), calibration())
    assert_same(cache.get_or_collect(KEY, refuse), calibration())


def test_framework_objects_are_not_kept(tmp_path: Path) -> None:
    found = CalibrationCache(tmp_path).get_or_collect(KEY, lambda: calibration(native=object()))
    assert found.native is not None
    assert not list(tmp_path.iterdir())


def test_failed_collection_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Calibration:
        raise DataError("bad data")

    with pytest.raises(DataError, match="bad data"):
        CalibrationCache(tmp_path).get_or_collect(KEY, fail)
    assert not list(tmp_path.iterdir())


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(StoreError, match="cannot be kept") as caught:
        CalibrationCache(blocker / "cache").get_or_collect(KEY, calibration)
    assert str(blocker) in str(caught.value)


def test_content_digest_tells_statistics_apart() -> None:
    tensors = dict(calibration().tensors)
    changed = {**tensors, "a": TensorStatistics(-1.5, 2.0, np.asarray([3, 1, 2**40]), -1.5, 3.0, 2**40 + 3)}
    digests = {content_digest("m", tensors), content_digest("n", tensors), content_digest("m", changed)}
    assert len(digests) == 3
