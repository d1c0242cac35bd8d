"""Probing the capability table on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoq.adaptors.tensorflow_lite.adaptor import LiteRtAdaptor
from autoq.adaptors.tensorflow_lite.micro import PROBED, micro_model
from autoq.adaptors.tensorflow_lite.ops import FOLLOWS, LOOKUPS, WORKS
from autoq.adaptors.tensorflow_lite.probe import Prober
from autoq.core.adaptor import ModelSource, Probing


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def test_nothing_is_probed_before_the_first_probe() -> None:
    assert LiteRtAdaptor().probed() == ()


def test_every_cell_of_the_policy_runs_on_integers_and_is_remembered() -> None:
    adaptor, told = LiteRtAdaptor(), list[str]()
    assert isinstance(adaptor, Probing)
    cells = adaptor.probe(told.append)
    assert [(c.type, c.precision, c.note) for c in cells if not c.quantized] == []
    assert {cell.type for cell in cells} == WORKS | FOLLOWS | LOOKUPS
    assert adaptor.probed() == cells
    assert told
    row = adaptor.capabilities(adaptor.load(ModelSource(micro_model("CONV_2D"))))[PROBED]
    assert row.origin == "probed on this machine"


def test_a_damaged_cache_is_as_none() -> None:
    prober = Prober("0.0")
    prober.cache_file.parent.mkdir(parents=True, exist_ok=True)
    prober.cache_file.write_text("[{", encoding="utf-8")
    assert prober.probed() == ()
