"""The nearest names, for messages that say what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` names most like `word`, best first; substring matches when no name is close."""
    pool = list(dict.fromkeys(names))
    lowered = {name.lower(): name for name in pool}
    close = [lowered[n] for n in get_close_matches(word.lower(), lowered, n=count, cutoff=0.5)]
    if close:
        return close
    needle = word.lower().strip("*.^$()[] ")
    return [name for name in pool if needle and needle in name.lower()][:count]


def did_you_mean(word: str, names: Iterable[str], count: int = 3) -> str:
    """``did you mean 'a' or 'b'?``, or the first few valid names when nothing is near."""
    pool = list(dict.fromkeys(names))
    close = nearest(word, pool, count)
    if close:
        return f"did you mean {_either(close)}?"
    shown = ", ".join(pool[:8])
    return f"there are: {shown}{', …' if len(pool) > 8 else ''}" if pool else "there are none"


def _either(words: list[str]) -> str:
    quoted = [f"'{w}'" for w in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
