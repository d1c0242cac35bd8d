"""A transformer from Python: MiniLM through Hugging Face transformers, a module in memory and data in a file.

python -m examples.pytorch_eager.fit_minilm [--trials N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import autoq
from examples.onnxrt import prepare_minilm
from examples.pytorch.minilm import minilm_hf
from examples.pytorch_eager.outcome import tell


def main(trials: int, out: Path) -> None:
    """Tune, say what came out, save the model."""
    pairs = prepare_minilm.main() / "wordsim353.npz"
    result = autoq.fit(
        minilm_hf(),
        {
            "model": {"name": "all-MiniLM-L6-v2", "framework": "pytorch_eager"},
            "quantization": {"approach": "post_training_auto_quant", "calibration": {"sampling_size": 64}},
            "evaluation": {
                "accuracy": {
                    "metric": "spearman",
                    "postprocess": ["mean_pooling", "pair_cosine"],
                    "dataloader": {
                        "dataset": {
                            "npz": {
                                "path": str(pairs),
                                "inputs": ["input_ids", "attention_mask"],
                                "labels": "scores",
                            }
                        },
                        "rows_per_sample": 2,  # a sample is a pair of words
                        "batch_size": 16,
                    },
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
    )
    tell(result, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tune MiniLM through autoq.fit.")
    parser.add_argument("--trials", type=int, default=20, help="trials at most")
    parser.add_argument("--out", type=Path, default=Path("demo/eager_minilm"), help="where to save the model")
    arguments = parser.parse_args()
    main(arguments.trials, arguments.out)
