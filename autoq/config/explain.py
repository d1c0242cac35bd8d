"""The validator's errors in the user's words: what is wrong, where, and the nearest thing that is right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from autoq.config.positions import KeyPath, Origin, dotted
from autoq.config.problem import Problem
from autoq.config.schema_tree import homes_of, is_section, types_at, valid_keys, valid_words
from autoq.core.suggest import did_you_mean, nearest

_RENAMED = {"algorithm": "observer", "bit": "dtype", "bits": "dtype", "seed": "random_seed", "dir": "root"}
"""Names from other tools' job files that are too far from ours to be found by likeness."""

_WANTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
}


@dataclass(frozen=True)
class _Located:
    """One error, and which part of its location stands in the job.

    Attributes:
        error: The validator's own.
        path: Where the wrong value stands.
        union: Where a value stands that may take several forms, one of which this error is about.
        branch: Which of these forms.
    """

    error: ErrorDetails
    path: KeyPath
    union: KeyPath | None
    branch: str

    @property
    def is_wrong_form(self) -> bool:
        return self.error["type"] in _WANTED and self.path == self.union


def explain(error: ValidationError, data: Mapping[str, Any], origin: Origin) -> list[Problem]:
    """One problem per mistake; the forms a value may take are told as one.

    Args:
        error: From validating `data` as a job.
        data: The job as it was read.
        origin: Where its values stand.
    """
    problems: list[Problem] = []
    unions: dict[KeyPath, list[_Located]] = defaultdict(list)
    for item in (_locate(e, data) for e in error.errors(include_url=False)):
        if item.union is None:
            problems.append(_problem(item, origin))
        else:
            unions[item.union].append(item)
    for items in unions.values():
        problems.extend(_union_problems(items, origin))
    return problems


def _locate(error: ErrorDetails, data: Mapping[str, Any]) -> _Located:
    """Follow the error's location through the job; a word that leads nowhere names a form of a union."""
    at: Any = data
    path: KeyPath = ()
    union: KeyPath | None = None
    branch = ""
    parts = [part for part in error["loc"] if part != "[key]"]
    for part in parts[:-1] if error["type"] == "missing" else parts:
        items = dict(enumerate(at)) if isinstance(at, list) else at
        if isinstance(items, Mapping) and part in items:
            at, path = items[part], (*path, part)
        elif isinstance(part, str) and union is None and not (part == "name" and isinstance(at, str)):
            union, branch = path, part
    return _Located(error, path, union, branch)


def _union_problems(items: Sequence[_Located], origin: Origin) -> list[Problem]:
    forms = {i.branch for i in items} - {i.branch for i in items if i.is_wrong_form}
    meant = [i for i in items if i.branch == min(forms)] if forms else items
    by_path: dict[KeyPath, list[_Located]] = defaultdict(list)
    for item in meant:
        by_path[item.path].append(item)
    problems: list[Problem] = []
    for path, here in by_path.items():
        wanted = list(dict.fromkeys(_WANTED.get(i.error["type"], "") for i in here))
        if len(wanted) > 1 and all(wanted):
            text = (
                f"{dotted(path)} must be {', '.join(wanted[:-1])} or {wanted[-1]}, not {_shown(here[0].error['input'])}"
            )
            problems.append(Problem(text, _type_hint("", here[0].error["input"]), origin.mark(path)))
        else:
            problems.extend(_problem(i, origin) for i in here)
    return problems


def _problem(item: _Located, origin: Origin) -> Problem:
    error, path, name = item.error, item.path, dotted(item.path)
    kind, value = error["type"], error["input"]
    context: Mapping[str, Any] = error.get("ctx", {})
    at_value, at_key = origin.mark(path), origin.mark(path, of_key=True)
    if kind == "extra_forbidden":
        return Problem(f"unknown key '{name}'", _unknown_key_hint(path), at_key)
    if kind == "missing":
        key = str(error["loc"][-1])
        lacking = f"{name} lacks the key '{key}'" if path else f"the job lacks the section '{key}'"
        return Problem(lacking, _missing_hint((*path, key)), at_key)
    if kind in ("literal_error", "enum"):
        of_key = error["loc"][-1] == "[key]"
        words = valid_words(path) or [w.strip("' ") for w in context["expected"].replace(" or ", ", ").split(",")]
        hint = did_you_mean(value if isinstance(value, str) else "", words)
        return Problem(f"{name} may not be {_shown(value)}", hint, at_key if of_key else at_value)
    if kind == "value_error":
        text, _, hint = str(context["error"]).partition(": ")
        return Problem(f"{name}: {text}", hint or None, at_value)
    if kind == "string_pattern_mismatch":
        text = f"{name} must name a Python function as package.module:function, not {_shown(value)}"
        return Problem(text, None, at_value)
    if kind == "string_too_short":
        return Problem(f"{name} is empty", "write a value, or leave the key out", at_value)
    wanted = _WANTED.get(kind) or _bounds(context)
    text = f"must be {wanted}, not {_shown(value)}" if wanted else f"is not valid: {error['msg']}"
    return Problem(f"{name or 'the job'} {text}", _type_hint(kind, value), at_value)


def _bounds(context: Mapping[str, Any]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [f"{word} {context[key]:.6g}" for key, word in words.items() if key in context]
    lengths = {"min_length": "at least", "max_length": "at most"}
    bounds += [f"{word} {context[key]} long" for key, word in lengths.items() if key in context]
    return " and ".join(bounds)


def _type_hint(kind: str, value: Any) -> str | None:
    if value is None:
        return "give it a value, or leave the key out"
    if kind == "string_type" and isinstance(value, int | float):
        return "put it in quotes to make it text"
    if kind in ("float_type", "int_type") and isinstance(value, str):
        return "write the number without quotes"
    if kind == "bool_type":
        return "write true or false without quotes"
    return None


def _unknown_key_hint(path: KeyPath) -> str:
    key, siblings = str(path[-1]), valid_keys(path[:-1])
    if _RENAMED.get(key) in siblings:
        return f"here it is called '{_RENAMED[key]}'"
    homes = [] if nearest(key, siblings) else [dotted(home) for home in homes_of(key)[:3]]
    return f"'{key}' belongs under {' or '.join(homes)}" if homes else did_you_mean(key, siblings)


def _missing_hint(path: KeyPath) -> str:
    words = valid_words(path)
    if words:
        return f"{path[-1]} is one of: {', '.join(words)}"
    return f"add '{path[-1]}:' " + ("and its keys" if any(is_section(k) for k in types_at(path)) else "and a value")


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"'{value if len(value) <= 60 else value[:57] + '...'}'"
    return f"{value:.6g}" if isinstance(value, int | float) else f"a {type(value).__name__}"
