"""A job in other forms: the JSON Schema for editors, YAML text, and JSON for another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from autoq.config.explain import explain
from autoq.config.positions import Origin
from autoq.config.problem import config_error
from autoq.config.scalars import TrapError, resolve_plain
from autoq.config.schema import Job
from autoq.core.errors import ConfigError

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def job_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a job file, shorthand forms included.

    Editors with a YAML language server complete and check a job whose first line is
    ``# yaml-language-server: $schema=job.schema.json``.
    """
    schema = Job.model_json_schema(mode="validation")
    del schema["properties"]["base"]
    titled: dict[str, Any] = {"$schema": _DIALECT, **schema, "title": "autoq job"}
    _drop_titles(titled["properties"])
    for definition in titled["$defs"].values():
        _drop_titles(definition.get("properties", {}))
    return titled


def job_to_yaml(job: Job) -> str:
    """A job file that says the same; settings that have their default value are left out.

    Relative paths stay as they are: the text belongs into the folder `job.base`.

    Raises:
        ConfigError: An argument holds an object that has no text form.
    """
    return yaml.dump(_plain(job, defaults=False), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def job_to_json(job: Job) -> dict[str, Any]:
    """Plain data with every setting and the base folder; the inverse of `job_from_json`.

    Raises:
        ConfigError: An argument holds an object that cannot be sent to another process.
    """
    return {**_plain(job, defaults=True), "base": str(job.base)}


def job_from_json(data: dict[str, Any]) -> Job:
    """Rebuild from `job_to_json`. Settings are not checked against each other again.

    Raises:
        ConfigError: The data are not a job of this version.
    """
    sections = {k: v for k, v in data.items() if k != "base"}
    try:
        job = Job.model_validate(sections)
    except ValidationError as error:
        raise config_error(explain(error, sections, Origin()), "") from None
    return job.placed(Path(data.get("base", "")), Origin())


def _plain(job: Job, *, defaults: bool) -> dict[str, Any]:
    # Several objectives take the place of one: both together would not load again.
    unused = {"tuning": {"objective"}} if job.tuning.objectives is not None else None
    try:
        return job.model_dump(mode="json", exclude_defaults=not defaults, exclude=unused)
    except PydanticSerializationError as error:
        raise ConfigError(
            f"an argument in this job is a Python object that has no text form: {error}",
            hint="use numbers, text, lists and mappings, or name a function as package.module:function",
        ) from None


def _drop_titles(properties: dict[str, Any]) -> None:
    # The validator makes titles from the keys; an editor would show them instead of the key itself.
    for value in properties.values():
        value.pop("title", None)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that the job reader, or a YAML 1.1 reader, would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_plain_text(text) else '"')


def _is_plain_text(text: str) -> bool:
    try:
        return text.isprintable() and resolve_plain(text) == text
    except TrapError:
        return False


def _represent_float(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    text = repr(number)
    # YAML 1.1 needs the point to see a number: 1e-05 would be text to other readers.
    mantissa, exponent, power = text.partition("e")
    return dumper.represent_scalar(
        "tag:yaml.org,2002:float", f"{mantissa}{'' if '.' in mantissa else '.0'}{exponent}{power}"
    )


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(float, _represent_float)
