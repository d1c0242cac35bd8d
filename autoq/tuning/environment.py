"""The machine and the versions a measurement belongs to."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "autoq",
    "numpy",
    "scipy",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "torch",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "openvino",
)


def processor() -> str:
    """Model name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of the installed ones of `packages`, without importing any."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_environment(threads: int | None) -> Mapping[str, str]:
    """What the report prints and a replay compares: processor, cores, threads, system, versions."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": processor(),
        "cores available": str(available),
        "threads per run": str(threads or "framework default"),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **versions(),
    }
