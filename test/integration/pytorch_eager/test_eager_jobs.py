"""Whole jobs of the eager route, from Python and from a file, and what bad input is told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_torch
import torch
import yaml
from command import AUTOQ
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import autoq
from autoq.core.adaptor import ModelSource, RunOptions
from autoq.core.errors import DataError, ModelError
from autoq.core.registry import make_adaptor
from autoq.core.space import Space

_SUPPORT = Path(small_torch.__file__).parent


def _job(workspace: Path, approach: str = "post_training_static_quant", **model: Any) -> dict[str, Any]:
    return {
        "model": {"framework": "pytorch_eager", **model},
        "quantization": {"approach": approach, "recipes": {"compile": False, "bf16": False}},
        "evaluation": {"accuracy": {"metric": "top1"}, "performance": {"iterations": 5, "warmup": 1}},
        "tuning": {
            "accuracy_criterion": {"absolute": 0.2},
            "objective": "size",
            "exit_policy": {"max_trials": 2},
            "workspace": str(workspace),
        },
    }


def _labelled(name: str, samples: int = 24) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs, and what fp32 says of them."""
    inputs = np.asarray(small_torch.inputs_for(name, samples))
    with torch.no_grad():
        return inputs, small_torch.FACTORIES[name]()(torch.from_numpy(inputs)).argmax(1).numpy()


def test_fit_a_module_and_load_what_it_saves(tmp_path: Path) -> None:
    inputs, labels = _labelled("small_cnn")
    loader = DataLoader(TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels)), batch_size=8)
    module = small_torch.small_cnn()
    result = autoq.fit(module, _job(tmp_path / "work"), loader, eval_dataloader=loader)
    assert result.accepted
    folder = result.save(tmp_path / "out")
    assert {"model.torchscript.pt", "state_dict.safetensors", "tuning.json"} <= {f.name for f in folder.rglob("*")}
    with torch.no_grad():
        held = result.model(torch.from_numpy(inputs[:3]))
    assert np.array_equal(autoq.load(folder).predict(inputs[:3])["output"], held.numpy())


def test_a_job_file_in_a_process_of_its_own(tmp_path: Path) -> None:
    inputs, labels = _labelled("small_lstm")
    np.savez(tmp_path / "data.npz", input_ids=inputs, label=labels)
    job = _job(
        tmp_path / "work", "post_training_auto_quant", path="small_torch:small_lstm", arguments={"bidirectional": False}
    )
    dataset = {"npz": {"path": "data.npz", "inputs": ["input_ids"], "labels": "label"}}
    job["evaluation"]["accuracy"]["dataloader"] = {"batch_size": 8, "dataset": dataset}
    job["runner"] = {"kind": "subprocess"}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = subprocess.run(
        [*AUTOQ, "tune", "job.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_SUPPORT), str(Path(autoq.__file__).parents[1])])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "smaller" in done.stdout
    assert "Warning" not in done.stdout + done.stderr


def test_batches_of_different_structures_are_named(tmp_path: Path) -> None:
    inputs = np.asarray(small_torch.inputs_for("small_cnn"))

    class Loader:
        def __iter__(self) -> Iterator[Any]:
            yield inputs
            yield {"x": inputs}
            yield [inputs, inputs]

    with pytest.raises(DataError) as caught:
        autoq.fit(small_torch.small_cnn(), _job(tmp_path), Loader(), eval_func=lambda _: 1.0)
    told = str(caught.value)
    assert "item 1: the data change their structure: the first item is an array, this one a dict of x" in told
    assert "give every batch in the same form" in told


# -- models that cannot be tuned as they are ---------------------------------------------------------------------------


def _half() -> nn.Module:
    module = small_torch.small_cnn()
    module.get_submodule("fc").half()
    return module


def _training() -> nn.Module:
    module = small_torch.small_cnn()
    module.get_submodule("bn1").train()
    return module


def _complex() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 4, dtype=torch.complex64)).eval()


def _meta() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 4, device="meta")).eval()


_BAD = {
    "half precision": (_half, "small_cnn", "fc"),
    "batch norm in training mode": (_training, "small_cnn", "bn1"),
    "complex weights": (_complex, "small_mlp", "complex"),
    "meta device": (_meta, "small_mlp", "meta device"),
    "nothing to quantize": (small_torch.no_quantizable, "small_mlp", "nothing to quantize"),
    "not its inputs": (small_torch.small_cnn, "small_mlp", "fails on the example"),
}


@pytest.mark.parametrize("name", _BAD)
def test_a_model_that_cannot_be_tuned_is_told_with_its_place_and_a_way_out(name: str) -> None:
    factory, inputs, message = _BAD[name]
    adaptor = make_adaptor("pytorch_eager")
    with pytest.raises(ModelError, match=message) as caught:
        adaptor.capabilities(adaptor.load(ModelSource(factory(), example=lambda: small_torch.inputs_for(inputs))))
    assert caught.value.where
    assert caught.value.hint


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    torch.save({"fc.weights": torch.zeros(10, 32)}, tmp_path / "weights.pt")
    source = ModelSource(
        "small_torch:small_cnn",
        options={"weights": tmp_path / "weights.pt", "arguments": {}},
        example=lambda: small_torch.inputs_for("small_cnn"),
    )
    with pytest.raises(ModelError, match=r"fc\.weight"):
        make_adaptor("pytorch_eager").load(source)


def test_shapes_that_depend_on_data_are_no_obstacle() -> None:
    class Selecting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x[x.mean(1) > -10])

    adaptor, batches = make_adaptor("pytorch_eager"), small_torch.batches_for("small_mlp", 1)
    model = adaptor.load(ModelSource(Selecting().eval(), example=lambda: batches[0].inputs))
    table = adaptor.capabilities(model)
    calibration = adaptor.calibrate(model, batches, adaptor.needs(model, table))
    candidate = adaptor.apply(model, Space.of(table).full_plan(), calibration, RunOptions())
    assert list(candidate.realized) == ["fc"]
    assert candidate.predict(batches[0].inputs)["output"].shape == (4, 4)
