"""The prepared models score what their papers and packages lead one to expect; `make test` prepares them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from autoq.config.loader import load_job
from autoq.evaluation.metrics.text import edit_distance
from examples.assets import REPOSITORY, cache_root

ort = pytest.importorskip("onnxruntime")

JOBS = sorted((REPOSITORY / "examples" / "onnxrt").glob("*.yaml"))


def _prepared(name: str) -> Path:
    folder = cache_root() / name
    if not (folder / "receipt.json").is_file():
        pytest.fail(f"run 'python -m examples.onnxrt.prepare' first: {folder} is missing")
    return folder


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options)


@pytest.mark.parametrize("path", JOBS, ids=lambda p: p.stem)
def test_every_job_file_of_the_examples_loads(path: Path) -> None:
    assert load_job(path).tuning.strategy.name == "auto"


@pytest.mark.parametrize("name", ["efficientnet-lite0", "minilm", "ppocr-rec", "ppocr-cls", "ppocr-det"])
def test_a_prepared_folder_holds_what_its_job_names(name: str) -> None:
    job = load_job(_prepared(name) / "job.yaml")
    assert job.model.path is not None
    assert job.resolve(job.model.path).is_file()


def test_minilm_correlates_with_people_as_published() -> None:
    folder = _prepared("minilm")
    data = np.load(folder / "wordsim353.npz")
    feed = {name: data[name] for name in ("input_ids", "attention_mask")}
    (hidden,) = _session(folder / "minilm.onnx").run(None, feed)
    mask = feed["attention_mask"][..., None]
    vectors = (hidden * mask).sum(1) / mask.sum(1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert spearmanr((vectors[::2] * vectors[1::2]).sum(1), data["scores"]).statistic == pytest.approx(0.729, abs=0.001)


def test_recognition_reads_rendered_text() -> None:
    folder = _prepared("ppocr-rec")
    data = np.load(folder / "held_out.npz")
    alphabet = (folder / "alphabet.txt").read_text(encoding="utf-8").split("\n")
    (scores,) = _session(folder / "ppocr_rec.onnx").run(None, {"x": data["x"][:32]})
    texts = [_greedy(row, alphabet) for row in scores.argmax(-1)]
    edits = sum(edit_distance(text, str(label)) for text, label in zip(texts, data["texts"], strict=False))
    assert edits / sum(map(len, data["texts"][:32])) < 0.02


def _greedy(codes: np.ndarray, alphabet: list[str]) -> str:
    kept = [c for i, c in enumerate(codes) if c and (i == 0 or c != codes[i - 1])]
    return "".join(alphabet[c] for c in kept)


def test_orientation_is_recognized() -> None:
    folder = _prepared("ppocr-cls")
    data = np.load(folder / "held_out.npz")
    (scores,) = _session(folder / "ppocr_cls.onnx").run(None, {"x": data["x"]})
    # Not all of them can be told: a line such as "689" reads either way up.
    assert (scores.argmax(-1) == data["turned"]).mean() > 0.9


def test_detection_finds_text() -> None:
    folder = _prepared("ppocr-det")
    (mask,) = _session(folder / "ppocr_det.onnx").run(None, {"x": np.load(folder / "tune.npz")["x"][:4]})
    assert 0.02 < (mask > 0.3).mean() < 0.6


def test_efficientnet_gives_the_same_answers_in_any_batch_size() -> None:
    folder = _prepared("efficientnet-lite0")
    crops = np.load(folder / "tune.npz")["input"][:6]
    session = _session(folder / "efficientnet_lite0.onnx")
    (together,) = session.run(None, {"input": crops})
    single = np.concatenate([session.run(None, {"input": crop[None]})[0] for crop in crops])
    assert np.allclose(together, single, atol=1e-3)


def test_efficientnet_sees_many_classes() -> None:
    folder = _prepared("efficientnet-lite0")
    crops = np.load(folder / "held_out.npz")["input"][:100]
    (scores,) = _session(folder / "efficientnet_lite0.onnx").run(None, {"input": crops})
    assert len(set(scores.argmax(-1).tolist())) > 20
