from __future__ import annotations

from pathlib import Path

import pytest

from examples.prepared import prepare


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOQ_ASSETS", str(tmp_path / "cache"))
    path = tmp_path / "recipe.py"
    path.write_text("first")
    return path


class _Builder:
    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, folder: Path) -> None:
        self.runs += 1
        (folder / "model.onnx").write_text(f"built {self.runs}")


def test_the_second_time_nothing_is_built(recipe: Path) -> None:
    builder = _Builder()
    assert prepare("model", (recipe,), builder) == prepare("model", (recipe,), builder)
    assert builder.runs == 1


def test_a_changed_recipe_builds_again(recipe: Path) -> None:
    builder = _Builder()
    prepare("model", (recipe,), builder)
    recipe.write_text("second")
    assert (prepare("model", (recipe,), builder) / "model.onnx").read_text() == "built 2"


def test_a_damaged_file_is_built_again(recipe: Path) -> None:
    builder = _Builder()
    folder = prepare("model", (recipe,), builder)
    (folder / "model.onnx").write_text("damaged")
    prepare("model", (recipe,), builder)
    assert (folder / "model.onnx").read_text() == "built 2"


def test_files_of_the_user_beside_the_model_do_not_build_again(recipe: Path) -> None:
    builder = _Builder()
    (prepare("model", (recipe,), builder) / "notes.txt").write_text("mine")
    prepare("model", (recipe,), builder)
    assert builder.runs == 1


def test_a_failing_build_keeps_what_was_there(recipe: Path) -> None:
    folder = prepare("model", (recipe,), _Builder())
    recipe.write_text("second")

    def fail(_: Path) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        prepare("model", (recipe,), fail)
    assert (folder / "model.onnx").read_text() == "built 1"


def test_a_changed_fact_builds_again(recipe: Path) -> None:
    builder = _Builder()
    prepare("model", (recipe,), builder, {"version": "1"})
    prepare("model", (recipe,), builder, {"version": "2"})
    assert builder.runs == 2
