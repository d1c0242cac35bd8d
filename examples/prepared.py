"""Folders made out of assets once, and kept: a model, its data, and the job file that tunes it."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from examples.assets import cache_root, digest, digests, publish, receipt_of


def prepare(
    name: str, recipe: tuple[Path, ...], build: Callable[[Path], None], facts: Mapping[str, str] | None = None
) -> Path:
    """The folder of that name, built unless it is there intact and its recipe is the same.

    Args:
        name: Name of the folder below the cache.
        recipe: Files that decide the content: the script that builds it, and what it copies.
        build: Writes the content into an empty folder.
        facts: What else decides the content: settings, versions of libraries, checksums of data.
    """
    target = cache_root() / name
    wanted = _recipe_digest(recipe, facts or {})
    if is_prepared(name, recipe, facts):
        return target
    print(f"[prepare] {name} ...", file=sys.stderr, flush=True)
    started = time.perf_counter()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=target.parent) as scratch:
        folder = Path(scratch) / "content"
        folder.mkdir()
        build(folder)
        publish(folder, target, {"recipe": wanted, "files": digests(folder)})
    print(f"[prepare] {name}: {time.perf_counter() - started:.0f} s, {target}", file=sys.stderr, flush=True)
    return target


def is_prepared(name: str, recipe: tuple[Path, ...], facts: Mapping[str, str] | None = None) -> bool:
    """Whether the folder is there intact, made by the same recipe."""
    receipt = receipt_of(cache_root() / name)
    return receipt is not None and receipt.get("recipe") == _recipe_digest(recipe, facts or {})


def _recipe_digest(recipe: tuple[Path, ...], facts: Mapping[str, str]) -> str:
    lines = [*(digest(p) for p in recipe), *(f"{name}: {fact}" for name, fact in sorted(facts.items()))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
