"""What the schema allows at a place of a job: the keys, the words, and where else a key belongs."""

from __future__ import annotations

from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from autoq.config.positions import KeyPath
from autoq.config.schema import Job

_NOT_IN_FILES = "base"
_DEEPEST_HOME = 4


def valid_keys(path: KeyPath) -> list[str]:
    """The keys of the section at `path`; none where any key goes."""
    sections = [kind for kind in types_at(path) if is_section(kind)]
    return list(dict.fromkeys(k for s in sections for k in s.model_fields if k != _NOT_IN_FILES))


def valid_words(path: KeyPath) -> list[str]:
    """The words a value at `path` may be, when the schema lists them."""
    words: list[str] = []
    for kind in types_at(path):
        for inner in expand(get_args(kind)[0]) if get_origin(kind) is list else [kind]:
            if get_origin(inner) is Literal:
                words += [str(word) for word in get_args(inner)]
            elif isinstance(inner, type) and issubclass(inner, Enum):
                words += [str(member.value) for member in inner]
    return words


def homes_of(key: str) -> list[KeyPath]:
    """The sections, other than the root, that know this key; those nearest to the root first."""
    found: list[KeyPath] = []

    def walk(section: type[BaseModel], path: KeyPath) -> None:
        for name, info in section.model_fields.items():
            if name == key and path:
                found.append(path)
            if len(path) < _DEEPEST_HOME:
                for kind in expand(info.annotation):
                    if is_section(kind):
                        walk(kind, (*path, name))

    walk(Job, ())
    return sorted(dict.fromkeys(found), key=len)


def types_at(path: KeyPath) -> list[Any]:
    """What the schema allows at `path`, with unions and annotations resolved."""
    kinds: list[Any] = [Job]
    for part in path:
        kinds = [inner for kind in kinds for inner in _step(kind, part)]
    return kinds


def _step(kind: Any, part: str | int) -> list[Any]:
    if is_section(kind) and part in kind.model_fields:
        return expand(kind.model_fields[part].annotation)
    if get_origin(kind) is dict:
        return expand(get_args(kind)[1])
    if get_origin(kind) is list:
        items = expand(get_args(kind)[0])
        # A shorthand leaves the list of one out: the item's own keys follow at once.
        return items if isinstance(part, int) else [t for item in items if is_section(item) for t in _step(item, part)]
    return []


def expand(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, without None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return expand(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for alternative in get_args(annotation) for kind in expand(alternative)]
    return [] if annotation in (None, NoneType) else [annotation]


def is_section(kind: Any) -> bool:
    """Whether a type is a section of a job."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)
