"""A transformer from Python: MiniLM through Hugging Face transformers, inputs as dicts by name.

python -m examples.pytorch_eager.fit_minilm [--trials N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import autoq
from examples.onnxrt import prepare_minilm
from examples.pytorch.minilm import minilm_hf
from examples.pytorch_eager.outcome import tell


@dataclass(frozen=True)
class Pairs:
    """Pairs of words with people's scores of their similarity; two rows are one sample."""

    path: Path
    size: int

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Any]]:
        with np.load(self.path) as stored:
            rows = {name: stored[name] for name in ("input_ids", "attention_mask")}
            scores = stored["scores"]
        for start in range(0, len(scores), self.size):
            pairs = slice(2 * start, 2 * (start + self.size))
            yield {name: array[pairs] for name, array in rows.items()}, scores[start : start + self.size]


def main(trials: int, out: Path) -> None:
    """Tune, say what came out, save the model."""
    pairs = Pairs(prepare_minilm.main() / "wordsim353.npz", 16)
    result = autoq.fit(
        minilm_hf(),
        {
            "model": {"name": "all-MiniLM-L6-v2", "framework": "pytorch_eager"},
            "quantization": {"approach": "post_training_auto_quant", "calibration": {"sampling_size": 64}},
            "evaluation": {
                "accuracy": {
                    "metric": "spearman",
                    "postprocess": ["mean_pooling", "pair_cosine"],
                    "dataloader": {"rows_per_sample": 2},
                    "held_out": 0.3,
                },
                "performance": {"cores_per_instance": 1, "batch_size": 16},
            },
            "tuning": {
                "accuracy_criterion": {"relative": 0.01},
                "exit_policy": {"max_trials": trials},
                "workspace": "demo",
            },
        },
        eval_dataloader=pairs,
    )
    tell(result, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tune MiniLM through autoq.fit.")
    parser.add_argument("--trials", type=int, default=20, help="trials at most")
    parser.add_argument("--out", type=Path, default=Path("demo/eager_minilm"), help="where to save the model")
    arguments = parser.parse_args()
    main(arguments.trials, arguments.out)
