import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from autoq.core import registry
from autoq.core.errors import ConfigError, MissingDependencyError
from autoq.core.registry import ADAPTORS, STRATEGIES, AdaptorEntry, make_adaptor, strategy_factory
from autoq.testing.toy import ToyAdaptor


def test_adaptors_are_made_by_name() -> None:
    assert isinstance(make_adaptor("toy"), ToyAdaptor)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_can_be_loaded(name: str) -> None:
    assert callable(strategy_factory(name))


@pytest.mark.parametrize("name", ADAPTORS)
def test_every_adaptor_that_is_not_pure_names_its_extra(name: str) -> None:
    assert ADAPTORS[name].extra or name == "toy"
    assert ADAPTORS[name].summary


def test_an_unknown_framework_suggests() -> None:
    with pytest.raises(ConfigError, match="unknown framework 'onnxrt_qqd'") as caught:
        make_adaptor("onnxrt_qqd")
    assert "'onnxrt_qdq'" in str(caught.value.hint)


def test_an_unknown_strategy_suggests() -> None:
    with pytest.raises(ConfigError, match="unknown strategy 'exaustive'") as caught:
        strategy_factory("exaustive")
    assert caught.value.hint == "did you mean 'exhaustive'?"


def test_a_missing_framework_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _write_backend(monkeypatch, tmp_path, "import framework_that_is_not_installed")
    with pytest.raises(MissingDependencyError, match="needs the package 'framework_that_is_not_installed'") as caught:
        make_adaptor("absent")
    assert caught.value.hint == "pip install 'autoq[absent_extra]'"


def test_a_framework_that_cannot_be_imported_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _write_backend(monkeypatch, tmp_path, "raise ImportError('libfast.so: cannot open shared object file')")
    with pytest.raises(MissingDependencyError, match=re.escape("libfast.so: cannot open")) as caught:
        make_adaptor("absent")
    assert caught.value.hint == "pip install --force-reinstall 'autoq[absent_extra]'"


def test_a_module_of_our_own_that_is_missing_is_not_blamed_on_a_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, AdaptorEntry("autoq.adaptors.nowhere:make", "absent_extra", "", ()))
    with pytest.raises(ModuleNotFoundError, match=re.escape("autoq.adaptors.nowhere")) as caught:
        make_adaptor("absent")
    assert not isinstance(caught.value, MissingDependencyError)


def _write_backend(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    (folder / "backend_under_test.py").write_text(body)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "backend_under_test", raising=False)
    _register(monkeypatch, AdaptorEntry("backend_under_test:make", "absent_extra", "", ()))


def _register(monkeypatch: pytest.MonkeyPatch, entry: AdaptorEntry) -> None:
    extended: Mapping[str, AdaptorEntry] = {**ADAPTORS, "absent": entry}
    monkeypatch.setattr(registry, "ADAPTORS", extended)
