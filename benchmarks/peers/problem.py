"""The one error of the comparison."""

from __future__ import annotations


class PeerError(RuntimeError):
    """The comparison cannot run; the message says what to do."""
