"""The templates by framework and approach."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from autoq.core.errors import ConfigError
from autoq.core.suggest import did_you_mean

_SHORT = {
    "static": "post_training_static_quant",
    "dynamic": "post_training_dynamic_quant",
    "auto": "post_training_auto_quant",
    "weight_only": "weight_only",
}


@dataclass(frozen=True, slots=True)
class Template:
    """A job file to start from.

    Attributes:
        name: ``<framework>_<approach>``, the approach in one word.
        framework: Value of ``model.framework``.
        approach: Value of ``quantization.approach``.
        summary: When to choose it, in one sentence.
        text: The YAML, with comments.
    """

    name: str
    framework: str
    approach: str
    summary: str
    text: str


@cache
def templates() -> tuple[Template, ...]:
    """All templates, by name."""
    resources = [entry for entry in files("autoq.yaml_templates").iterdir() if entry.name.endswith(".yaml")]
    return tuple(_template(r.name, r.read_text(encoding="utf-8")) for r in sorted(resources, key=lambda r: r.name))


def find_template(framework: str, approach: str | None = None) -> Template:
    """The template of a framework and approach.

    Args:
        framework: As in ``model.framework``.
        approach: As in ``quantization.approach``, or its short form static, dynamic or auto; the
            framework's usual one by default.

    Raises:
        ConfigError: There is no such template.
    """
    of_framework = [t for t in templates() if t.framework == framework]
    if not of_framework:
        names = dict.fromkeys(t.framework for t in templates())
        raise ConfigError(f"there is no template for framework '{framework}'", hint=did_you_mean(framework, names))
    if approach is None:
        # Static is the usual approach wherever a framework has it, and the only other one stands alone.
        return next((t for t in of_framework if t.approach == _SHORT["static"]), of_framework[0])
    wanted = _SHORT.get(approach, approach)
    found = next((t for t in of_framework if t.approach == wanted), None)
    if found is None:
        raise ConfigError(
            f"framework {framework} has no template for approach '{approach}'",
            hint="it has: " + ", ".join(t.approach for t in of_framework),
        )
    return found


def _template(file_name: str, text: str) -> Template:
    data = yaml.safe_load(text)
    summary = text.splitlines()[0].removeprefix("#").strip()
    return Template(
        file_name.removesuffix(".yaml"), data["model"]["framework"], data["quantization"]["approach"], summary, text
    )
