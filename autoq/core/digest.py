"""One way to turn plain data into a content address."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data give equal text. Raises on NaN and infinities."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(data: Any) -> str:
    """SHA-256 of the canonical JSON, the first 16 hexadecimal digits."""
    # File names that are not valid UTF-8 reach us with surrogates in them.
    return hashlib.sha256(canonical_json(data).encode(errors="surrogatepass")).hexdigest()[:16]
