"""What a job says, in the core's own types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from autoq.config.conflicts import MODES
from autoq.config.narrowing import narrowed
from autoq.config.positions import KeyPath
from autoq.config.problem import Problem, config_error
from autoq.config.schema import Job, MetricSection, OpRules, TensorRules
from autoq.core.budget import Budget
from autoq.core.capability import CapabilityTable, Recipe
from autoq.core.criterion import Criterion, Guarantee, Tolerance
from autoq.core.errors import ConfigError
from autoq.core.objective import Objective, Quantity
from autoq.core.profile import PROFILES
from autoq.core.space import OpRule, Space, SpaceRules, TensorRule, match_names
from autoq.core.suggest import did_you_mean, nearest

DEFAULT_RELATIVE_LOSS = 0.01
"""Largest loss where a job names none: one percent of the fp32 score."""


def space_rules(job: Job) -> SpaceRules:
    """The job's say on the search space."""
    quantization = job.quantization
    return SpaceRules(
        MODES[quantization.approach],
        _op_rule(quantization.model_wise),
        tuple((pattern, _op_rule(rules)) for pattern, rules in quantization.optype_wise.items()),
        tuple((pattern, _op_rule(rules)) for pattern, rules in quantization.op_wise.items()),
    )


def space(job: Job, table: CapabilityTable) -> Space:
    """The search space of a job over a capability table.

    Raises:
        ConfigError: Patterns match nothing (all of them are told, with their places), or a rule asks for
            what an op does not have, or the job for a recipe that the table does not have.
        ModelError: No op is left that could be quantized.
    """
    check_patterns(job, table)
    table = profiled(job, table)
    alone = tuple(dict.fromkeys(recipe for several in table.float_recipes for recipe in several))
    allowed = recipes(job, tuple(dict.fromkeys((*table.recipes, *alone))))
    names = {recipe.name for recipe in allowed}
    rules = space_rules(job)
    table, notes = narrowed(table, rules, objective(job))
    return replace(
        Space.of(table, rules),
        recipes=tuple(r for r in allowed if r.name in {o.name for o in table.recipes}),
        float_recipes=tuple(s for s in table.float_recipes if all(recipe.name in names for recipe in s)),
        notes=notes,
    )


def profiled(job: Job, table: CapabilityTable) -> CapabilityTable:
    """What the job's deployment profile takes of a capability table.

    Raises:
        ConfigError: Nothing quantized is left.
    """
    name = job.deployment.profile if job.deployment is not None else None
    if name is None:
        return table
    restricted = PROFILES[name].restrict(table)
    if all(precision.is_float for row in restricted for precision in row.precisions):
        offered = dict.fromkeys(p.label for row in table for p in row.precisions if not p.is_float)
        raise ConfigError(
            f"framework {job.model.framework} has nothing for this model that profile {name} takes "
            f"({PROFILES[name].summary})",
            where=job.where("deployment", "profile"),
            hint=f"it has: {'; '.join(offered) or 'nothing quantized'}; choose another framework or profile",
        )
    return restricted


def check_patterns(job: Job, table: CapabilityTable) -> None:
    """Check that every optype_wise and op_wise pattern means something in this model.

    Raises:
        ConfigError: Some do not; lists all, each with its place and the nearest names.
    """
    wanted = (
        ("optype_wise", "op type", job.quantization.optype_wise, [op.type for op in table.ops]),
        ("op_wise", "op", job.quantization.op_wise, [op.id for op in table.ops]),
    )
    problems: list[Problem] = []
    for section, what, rules, names in wanted:
        for pattern in rules:
            try:
                match_names(pattern, names, what)
            except ConfigError as error:
                mark = job.origin.mark(("quantization", section, pattern), of_key=True)
                problems.append(Problem(error.message, error.hint, mark))
    if problems:
        raise config_error(problems, job.origin.name)


def criteria(job: Job, names: Sequence[str], direction_of: Callable[[str], bool]) -> tuple[Criterion, ...]:
    """One criterion per metric; a metric's own limit goes before the job's.

    Args:
        job: The job.
        names: What is scored, in order. The second metric of one name is called ``name#2``. A name the job
            does not have (a metric or scoring function handed over in Python) gets the job's criterion.
        direction_of: Whether a metric, by name, is better when higher.

    Raises:
        ConfigError: The job gives a known metric the wrong direction.
    """
    return tuple(_criterion(job, name, direction_of) for name in names)


def objective(job: Job) -> Objective:
    """What is made small."""
    weights = job.tuning.objectives or {job.tuning.objective: 1.0}
    return Objective(tuple((Quantity(name), weight) for name, weight in weights.items()))


def budget(job: Job) -> Budget:
    """When the search ends."""
    policy = job.tuning.exit_policy
    return Budget(policy.max_trials, policy.timeout, policy.first_pass)


def recipes(job: Job, offered: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The recipes a job leaves in the search: the offered ones without those it turns off.

    ``true`` keeps a recipe with the arguments offered, arguments take the place of those offered.

    Args:
        job: The job.
        offered: What the capability table holds, in the order to try.

    Raises:
        ConfigError: The job asks for a recipe that this model or framework does not have.
    """
    wanted = job.quantization.recipes
    names = list(dict.fromkeys(recipe.name for recipe in offered))
    for name, value in wanted.items():
        # What is turned off may be missing all the same, e.g. compiling without a compiler; a slip of the pen may not.
        if name not in names and (value is not False or nearest(name, names)):
            raise ConfigError(
                f"recipe '{name}' does not apply to this model with framework {job.model.framework}",
                where=job.where("quantization", "recipes", name, of_key=True),
                hint=did_you_mean(name, names),
            )
    chosen: dict[Recipe, None] = {}
    for recipe in offered:
        value = wanted.get(recipe.name, True)
        if isinstance(value, dict):
            chosen[Recipe(recipe.name, tuple(sorted(value.items())))] = None
        elif value:
            chosen[recipe] = None
    return tuple(chosen)


def _op_rule(rules: OpRules) -> OpRule:
    modes = tuple(rules.modes) if rules.modes is not None else None
    return OpRule(_tensor_rule(rules.weight), _tensor_rule(rules.activation), modes, rules.fallback)


def _tensor_rule(rules: TensorRules) -> TensorRule:
    return TensorRule(
        tuple(rules.dtype) if rules.dtype is not None else None,
        tuple(rules.scheme) if rules.scheme is not None else None,
        tuple(rules.granularity) if rules.granularity is not None else None,
        tuple(rules.observer) if rules.observer is not None else None,
    )


def _criterion(job: Job, name: str, direction_of: Callable[[str], bool]) -> Criterion:
    general = job.tuning.accuracy_criterion
    index, metric = _metric_named(job, name)
    own = metric if metric is not None and (metric.relative is not None or metric.absolute is not None) else general
    if own.absolute is not None:
        limit, tolerance = own.absolute, Tolerance.ABSOLUTE
    else:
        limit, tolerance = DEFAULT_RELATIVE_LOSS if own.relative is None else own.relative, Tolerance.RELATIVE
    if metric is None:
        higher = direction_of(name) if general.higher_is_better is None else general.higher_is_better
    else:
        higher = _direction(job, index, metric, direction_of(name))
    return Criterion(name, limit, tolerance, higher, general.confidence, Guarantee(general.guarantee))


def _metric_named(job: Job, name: str) -> tuple[int, MetricSection | None]:
    accuracy = job.evaluation.accuracy
    seen: Counter[str] = Counter()
    for index, metric in enumerate(accuracy.metric if accuracy is not None else ()):
        seen[metric.name] += 1
        count = seen[metric.name]
        if name == (metric.name if count == 1 else f"{metric.name}#{count}"):
            return index, metric
    return 0, None


def _direction(job: Job, index: int, metric: MetricSection, known: bool) -> bool:
    """The direction of a metric; for a function the job decides, for a named metric it may only repeat it."""
    own, general = metric.higher_is_better, job.tuning.accuracy_criterion.higher_is_better
    said = general if own is None else own
    if ":" in metric.name or said is None or said == known:
        return known if said is None else said
    path: KeyPath = ("evaluation", "accuracy", "metric", index) if own is not None else ("tuning", "accuracy_criterion")
    raise ConfigError(
        f"metric {metric.name} is better when {'higher' if known else 'lower'}, and the job says otherwise",
        where=job.where(*path, "higher_is_better", of_key=True),
        hint="leave higher_is_better out: it is for your own functions",
    )
