"""What the fp32 model and its rivals are called."""

from __future__ import annotations

from collections.abc import Sequence

from autoq.core.trial import Trial

_COMPILE, _EAGER = "compile", "eager"


def rivals_of(trials: Sequence[Trial]) -> list[Trial]:
    """The trials in which every op stays float under some recipe, in order."""
    return [t for t in trials if t.plan.is_rival]


def rival_label(trial: Trial) -> str:
    """What a rival is called: its note, or its recipes."""
    return trial.proposal.note or ", ".join(recipe.label for recipe in trial.plan.recipes)


def baseline_name(trials: Sequence[Trial]) -> str:
    """``compiled fp32``, ``eager fp32`` where only rivals are compiled, or ``fp32`` where nothing is."""
    recipes = {recipe.name for rival in rivals_of(trials) for recipe in rival.plan.recipes}
    if _EAGER in recipes or any(_COMPILE in t.seconds for t in trials if t.number == 0):
        return "compiled fp32"
    return "eager fp32" if _COMPILE in recipes else "fp32"


def compiled_fp32(trials: Sequence[Trial]) -> Trial | None:
    """The rival that is fp32 compiled and nothing else, where it was measured."""
    found = (t for t in rivals_of(trials) if {r.name for r in t.plan.recipes} == {_COMPILE})
    return next((t for t in found if t.latency is not None), None)
