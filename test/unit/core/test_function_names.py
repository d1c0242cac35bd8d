import os.path
from pathlib import Path

import pytest

from autoq.core.errors import ConfigError
from autoq.core.function import is_function_name, load_function


def test_a_colon_makes_a_function_name() -> None:
    assert is_function_name("package.module:function")
    assert not is_function_name("top1")


def test_functions_and_attributes_are_found() -> None:
    assert load_function("os.path:join") is os.path.join
    assert load_function("pathlib:Path.home") == Path.home


@pytest.mark.parametrize("name", ["os.path:", ":join", "os.path"])
def test_half_a_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="does not name a function") as caught:
        load_function(name)
    assert caught.value.hint == "write it as package.module:function"


@pytest.mark.parametrize("name", ["no_such_package.module:f", ".relative:f", "..:f"])
def test_a_module_that_cannot_be_imported_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot import module") as caught:
        load_function(name)
    assert caught.value.where == name


def test_a_module_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_that_divides_by_zero.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="ZeroDivisionError: division by zero"):
        load_function("module_that_divides_by_zero:f")


def test_a_misspelt_function_suggests() -> None:
    with pytest.raises(ConfigError, match=r"has no 'jion'") as caught:
        load_function("os.path:jion")
    assert "'join'" in str(caught.value.hint)


def test_a_value_is_not_a_function() -> None:
    with pytest.raises(ConfigError, match="not callable but of type str"):
        load_function("os.path:sep")
