"""The two consoles every command prints to."""

from __future__ import annotations

from rich.console import Console

console = Console()
"""Results, on standard output."""

error_console = Console(stderr=True)
"""Errors and warnings, on standard error."""
