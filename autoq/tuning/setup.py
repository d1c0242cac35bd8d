"""What a workbench is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoq.core.adaptor import Adaptor, ModelSource, RunOptions
from autoq.core.batch import TensorSpec
from autoq.data.sources import DataSource
from autoq.tuning.latency_settings import LatencySettings
from autoq.tuning.scorer import Scorer


@dataclass(frozen=True)
class JobData:
    """A job's data, opened for a model's inputs.

    Attributes:
        scorer: Scores candidates.
        calibration: Samples that fix ranges; None when nothing static is tuned.
        latency: Samples that latency is measured with.
        shuffled: Whether the tune split comes in random order.
    """

    scorer: Scorer
    calibration: DataSource | None
    latency: DataSource | None
    shuffled: bool = False


@dataclass(frozen=True)
class Setup:
    """Everything a workbench is made of."""

    framework: str
    adaptor: Adaptor[Any]
    source: ModelSource
    open_data: Callable[[Sequence[TensorSpec]], JobData]
    sampling_size: int
    latency: LatencySettings
    options: RunOptions
    cache: Path
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
