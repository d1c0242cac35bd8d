"""Tuning from Python: a module in memory, with the data and the promise of its job file.

python -m examples.pytorch_fx.fit [classifier | transformer | detector] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml
from safetensors.torch import load_file
from torch import nn

import autoq
from examples.pytorch import models
from examples.pytorch_fx.prepare import NETWORKS, prepare_job


def module_of(name: str, job: Path) -> nn.Module:
    """The network of a job file, with its weights, in evaluation mode."""
    section = yaml.safe_load(job.read_text(encoding="utf-8"))["model"]
    module: nn.Module = getattr(models, NETWORKS[name])(**section.get("arguments", {}))
    if "weights" in section:
        module.load_state_dict(load_file(job.parent / section["weights"]))
    return module.eval()


def main(name: str, out: Path) -> None:
    """Tune, say what came out, save the model."""
    job = prepare_job(name)
    result = autoq.fit(module_of(name, job), job)
    best = result.best
    if best is not None and best.speed is not None:
        score = best.scores[0]
        print(f"accepted: {score.metric} {score.value:.3f}, loss {score.loss.value:.3f} of {score.limit:.3f} allowed,")
        print(f"latency {best.speed:.2f} of fp32, {len(result.trials)} trials")
    else:
        print(f"fp32 stays: none of {len(result.trials)} trials was both accurate enough and faster")
    print(f"saved to {result.save(out)}; report: {result.report()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tune an example network through autoq.fit.")
    parser.add_argument("name", nargs="?", choices=list(NETWORKS), default="classifier")
    parser.add_argument("--out", type=Path, default=None, help="where to save the model")
    arguments = parser.parse_args()
    main(arguments.name, arguments.out or Path("demo") / f"pytorch_fx_{arguments.name}")
