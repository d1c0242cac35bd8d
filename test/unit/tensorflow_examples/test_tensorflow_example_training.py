"""Networks of the TensorFlow examples are trained the same from the same seed, and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from examples.tensorflow.tasks import TASKS, Task
from examples.tensorflow.train import KERAS, SAVED_MODEL, record, trained
from examples.tensorflow.training import Phase, Settings, cycle, fit


class _Sum:
    """Tell whether four numbers sum to more than zero."""

    samples = 256

    def __init__(self) -> None:
        self.inputs = np.random.default_rng(1).standard_normal((self.samples, 4)).astype(np.float32)
        self.sides: set[int] = set()

    def batch(self, chosen: NDArray[np.int64], side: int, rng: np.random.Generator) -> tuple[Any, Any]:
        self.sides.add(side)
        inputs = self.inputs[chosen]
        return inputs, (inputs.sum(1) > 0).astype(np.int64)


class _Factory:
    """Counts how many networks it made."""

    made = 0

    def __call__(self, side: int) -> Any:
        self.made += 1
        numbers = keras.Input((4,), name="numbers")
        return keras.Model(numbers, keras.layers.Dense(2)(keras.layers.Dense(8, activation="relu")(numbers)))


_SETTINGS = Settings((Phase(2),), batch=32)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("AUTOQ_ASSETS", str(tmp_path / "cache"))
    recipe = tmp_path / "recipe.py"
    recipe.write_text("first")
    return Task(_Factory(), _Sum, lambda _model, _side: 0.5, "fashion-mnist", (recipe,), (_SETTINGS,))


def _quiet(_: str) -> None:
    pass


def _accuracy(model: Any) -> float:
    problem = _Sum()
    inputs, labels = problem.batch(np.arange(problem.samples), 0, np.random.default_rng(0))
    return float((model.predict_on_batch(inputs).argmax(1) == labels).mean())


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two = (fit(_Factory(), _Sum(), _SETTINGS, _quiet).get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_training_teaches() -> None:
    model = fit(_Factory(), _Sum(), replace(_SETTINGS, phases=(Phase(12),)), _quiet)
    assert _accuracy(model) > 0.9


def test_a_phase_goes_on_with_the_weights_of_the_one_before() -> None:
    model = fit(_Factory(), _Sum(), replace(_SETTINGS, phases=(Phase(12, 1), Phase(0.1, 2))), _quiet)
    assert _accuracy(model) > 0.9


def test_a_second_cycle_goes_on_with_the_weights_of_the_first() -> None:
    first = fit(_Factory(), _Sum(), replace(_SETTINGS, phases=(Phase(12),)), _quiet)
    second = fit(_Factory(), _Sum(), replace(_SETTINGS, phases=(Phase(0.2),), seed=1), _quiet, first)
    assert _accuracy(second) > 0.9


def test_phases_have_their_own_sides() -> None:
    problem = _Sum()
    fit(_Factory(), problem, replace(_SETTINGS, phases=(Phase(1, 16), Phase(0.5, 32))), _quiet)
    assert problem.sides == {16, 32}


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [cycle(share) for share in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 20
    assert rates[0] < 0.1
    assert rates[-1] < 0.01


def test_progress_names_the_last_step() -> None:
    lines: list[str] = []
    fit(_Factory(), _Sum(), _SETTINGS, lines.append)
    assert lines[-1].startswith("step 16/16, loss ")


def test_a_trained_network_is_kept_in_both_forms(task: Task) -> None:
    folder = trained("sum", task)
    model = keras.models.load_model(folder / KERAS)
    exported = keras.layers.TFSMLayer(folder / SAVED_MODEL, call_endpoint="serve")
    numbers = _Sum().inputs[:8]
    assert np.allclose(model.predict_on_batch(numbers), exported(numbers), atol=1e-6)


def test_the_second_time_nothing_is_trained(task: Task) -> None:
    trained("sum", task)
    assert isinstance(task.network, _Factory)
    before = task.network.made
    trained("sum", task)
    assert task.network.made == before


@pytest.mark.parametrize(
    "change", [{"cycles": (replace(_SETTINGS, rate=0.2),)}, {"asset": "sentences"}], ids=["settings", "data"]
)
def test_a_change_of_what_decides_the_weights_trains_again(task: Task, change: dict[str, Any]) -> None:
    trained("sum", task)
    changed = replace(task, network=_Factory(), **change)
    trained("sum", changed)
    assert changed.network.made > 0


def test_the_record_holds_the_accuracy(task: Task) -> None:
    assert record(trained("sum", task))["accuracy"] == 0.5


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_weights_do_not_depend_on_the_side(name: str) -> None:
    shapes = [[w.shape for w in TASKS[name].network(side).weights] for side in (32, 112)]
    assert shapes[0] == shapes[1]


def test_resnet18_has_its_parameters() -> None:
    assert TASKS["resnet18"].network(112).count_params() == 11_184_970


@pytest.mark.parametrize("name", TASKS)
def test_the_recipe_names_files_that_exist(name: str) -> None:
    assert all(path.is_file() for path in TASKS[name].recipe)
