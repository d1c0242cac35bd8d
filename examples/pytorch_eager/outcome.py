"""What the scripts of this folder say at the end."""

from __future__ import annotations

from pathlib import Path

from autoq.result import Result


def tell(result: Result, out: Path) -> None:
    """Print what came out, and save the model."""
    best = result.best
    if best is not None and best.speed is not None and best.scores[0].loss is not None:
        score = best.scores[0]
        print(f"accepted: {score.metric} {score.value:.4f}, loss {score.loss.value:.4f} of {score.limit:.4f} allowed,")
        print(f"latency {best.speed:.2f} of fp32, {len(result.trials)} trials")
    else:
        print(f"fp32 stays: none of {len(result.trials)} trials was both accurate enough and faster")
    print(f"saved to {result.save(out)}; report: {result.report()}")
