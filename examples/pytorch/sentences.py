"""Sentences with people's sentiment scores (Hutto and Gilbert 2014), as token ids for a small text classifier."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples import assets
from examples.prepared import prepare

LENGTH = 32
VOCABULARY = 8000
PADDING, UNKNOWN = 0, 1

_SOURCES = ("movieReviewSnippets", "tweets", "amazonReviewSnippets", "nytEditorialSnippets")
_NEUTRAL = 0.8
"""Sentences with a score nearer to zero (of -4 to 4) are left out: people disagree on them."""
_TEST = 3000
_CALIBRATION = 256
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[!?:;()]+")


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids ``int64 [n, length]``, padded at the end, and classes ``int64 [n]``: 0 negative, 1 positive."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Training and test sentences, and the words that the training sentences hold most often."""

    training: Tokens
    test: Tokens
    words: tuple[str, ...]


def read() -> Corpus:
    """All clearly positive or negative sentences, shuffled, split into training and test."""
    texts, labels = _labelled()
    order = np.random.default_rng(0).permutation(len(texts))
    split = [(texts[i].lower(), labels[i]) for i in order]
    test, training = split[:_TEST], split[_TEST:]
    counts = Counter(word for text, _ in training for word in _WORD.findall(text))
    # Ties are broken by spelling, so that the vocabulary does not depend on the order of reading.
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    words = tuple(ranked[: VOCABULARY - 2])
    return Corpus(_tokens(training, words), _tokens(test, words), words)


def build(folder: Path) -> None:
    """Write ``calibration.npz`` (training sentences), ``test.npz`` and ``words.json``."""
    corpus = read()
    np.savez(folder / "calibration.npz", input_ids=corpus.training.ids[:_CALIBRATION])
    np.savez(folder / "test.npz", input_ids=corpus.test.ids, label=corpus.test.labels)
    (folder / "words.json").write_text(json.dumps(corpus.words) + "\n", encoding="utf-8")


def main() -> Path:
    """Prepare once; returns the folder."""
    return prepare("sentences", (Path(__file__),), build)


def _labelled() -> tuple[list[str], list[int]]:
    path = next(assets.fetch("sentences").rglob("hutto_ICWSM_2014.tar.gz"))
    texts, labels = [], []
    with tarfile.open(path) as archive:
        for source in _SOURCES:
            member = archive.extractfile(f"hutto_ICWSM_2014/{source}_GroundTruth.txt")
            if member is None:
                raise assets.AssetError(f"{path.name} holds no sentences of {source}")
            for line in io.TextIOWrapper(member, encoding="utf-8", errors="replace"):
                _, score, text = line.rstrip("\r\n").split("\t", 2)
                if abs(float(score)) >= _NEUTRAL:
                    texts.append(text)
                    labels.append(int(float(score) > 0))
    return texts, labels


def _tokens(sentences: list[tuple[str, int]], words: tuple[str, ...]) -> Tokens:
    number = {word: i for i, word in enumerate(words, start=2)}
    ids = np.full((len(sentences), LENGTH), PADDING, np.int64)
    for row, (text, _) in zip(ids, sentences, strict=True):
        found = [number.get(word, UNKNOWN) for word in _WORD.findall(text)][:LENGTH]
        row[: len(found)] = found
    return Tokens(ids, np.array([label for _, label in sentences], np.int64))
