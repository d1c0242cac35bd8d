"""Trained weights are kept until something that decides them changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from examples.pytorch.tasks import TASKS, Task
from examples.pytorch.train import WEIGHTS, record, trained
from examples.pytorch.training.loop import Phase, Settings, fit


@dataclass
class _Sum:
    """Learn the sum of four numbers."""

    samples: int = 64

    def __post_init__(self) -> None:
        self.inputs = torch.randn(self.samples, 4, generator=torch.Generator().manual_seed(1))
        self.phases: list[Phase] = []

    def enter(self, phase: Phase) -> None:
        self.phases.append(phase)

    def loss(self, model: nn.Module, chosen: Tensor) -> Tensor:
        inputs = self.inputs[chosen]
        return nn.functional.mse_loss(model(inputs)[:, 0], inputs.sum(1))


class _Factory:
    """Counts how many networks it made: one per training."""

    made = 0

    def __call__(self, width: int) -> nn.Module:
        self.made += 1
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1)).eval()


_SETTINGS = Settings((Phase(4),), batch=8, rate=1e-2)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("AUTOQ_ASSETS", str(tmp_path / "cache"))
    recipe = tmp_path / "recipe.py"
    recipe.write_text("first")
    return Task(_Factory(), {"width": 8}, _Sum, lambda _: 0.5, "score", "fashion-mnist", (recipe,), (_SETTINGS,))


def _made(task: Task) -> int:
    assert isinstance(task.factory, _Factory)
    return task.factory.made


def test_the_second_time_nothing_is_trained(task: Task) -> None:
    assert trained("sum", task) == trained("sum", task)
    assert _made(task) == 1


@pytest.mark.parametrize(
    "change",
    [{"cycles": (replace(_SETTINGS, rate=2e-2),)}, {"arguments": {"width": 9}}, {"asset": "sentences"}],
    ids=["settings", "arguments", "data"],
)
def test_a_change_of_what_decides_the_weights_trains_again(task: Task, change: dict[str, object]) -> None:
    trained("sum", task)
    changed = replace(task, **change)
    trained("sum", changed)
    assert _made(changed) == 2


def test_changed_code_trains_again(task: Task) -> None:
    trained("sum", task)
    task.recipe[0].write_text("second")
    trained("sum", task)
    assert _made(task) == 2


def test_another_version_of_pytorch_trains_again(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    trained("sum", task)
    monkeypatch.setattr(torch, "__version__", "99.0")
    trained("sum", task)
    assert _made(task) == 2


def test_damaged_weights_are_trained_again(task: Task) -> None:
    path = trained("sum", task) / WEIGHTS
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    trained("sum", task)
    assert path.read_bytes() == good


def test_the_weights_fit_the_factory(task: Task) -> None:
    state = load_file(trained("sum", task) / WEIGHTS)
    assert task.model().load_state_dict(state).missing_keys == []


def test_the_record_holds_the_score(task: Task) -> None:
    assert record(trained("sum", task))["score"] == 0.5


def test_training_teaches() -> None:
    problem, model = _Sum(256), _Factory()(32)
    everything = torch.arange(256)
    before = problem.loss(model, everything).item()
    fit(model, problem, replace(_SETTINGS, phases=(Phase(20),)), lambda _: None)
    assert problem.loss(model, everything).item() < before / 20


def test_the_same_seed_gives_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        model = _Factory()(8)
        torch.manual_seed(len(states))
        fit(model, _Sum(), _SETTINGS, lambda _: None)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_training_leaves_the_random_state_alone() -> None:
    model = _Factory()(8)
    before = torch.random.get_rng_state()
    fit(model, _Sum(), _SETTINGS, lambda _: None)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_trained_network_is_in_evaluation_mode() -> None:
    model = _Factory()(8)
    fit(model, _Sum(), _SETTINGS, lambda _: None)
    assert not model.training


def test_cycles_come_one_after_the_other(task: Task) -> None:
    second = replace(_SETTINGS, seed=1)
    both = load_file(trained("both", replace(task, cycles=(_SETTINGS, second))) / WEIGHTS)
    model = task.model()
    model.load_state_dict(load_file(trained("first", task) / WEIGHTS))
    fit(model, _Sum(), second, lambda _: None)
    assert all(torch.equal(both[k], value) for k, value in model.state_dict().items())


def test_phases_come_one_after_the_other() -> None:
    problem, phases = _Sum(), (Phase(1, 16), Phase(0.5, 32))
    fit(_Factory()(8), problem, replace(_SETTINGS, phases=phases), lambda _: None)
    assert problem.phases == list(phases)


def test_progress_names_the_last_step() -> None:
    lines: list[str] = []
    fit(_Factory()(8), _Sum(), _SETTINGS, lines.append)
    assert lines[-1].startswith("step 32/32, loss ")


@pytest.mark.parametrize("name", TASKS)
def test_the_recipe_names_files_that_exist(name: str) -> None:
    assert all(path.is_file() for path in TASKS[name].recipe)
