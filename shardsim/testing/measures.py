"""The laws of measures. Symbols: N seeds, L levels, S states, K shards."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shardsim.agents import action_selection
from shardsim.core.types import Environment
from shardsim.evaluation import battery, exact_policies, measures, state_readings
from shardsim.testing import law
from shardsim.training import phases

SEEDS, SHARDS, DISCOUNT, LEVELS = 3, 2, 0.9, 6


def check_measure(
    measure: Any,
    world: Environment,
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Check a measure: one number per seed, and no difference where there is none.

    It is given two arms that say the same, of random numbers; what it finds in one it
    has to find in the other, and seeds in another order have the same numbers in that
    order.

    Args:
      measure: as it stands in a prediction.
      world: a small one that has what the measure needs.
      conditions: fields of the world that differ in each condition that the measure
        names; none differ in those that are left out.

    Raises:
      AssertionError: a law is broken; the text says which.

    Examples:
      >>> from shardsim import testing
      >>> from shardsim.evaluation.measures import ValueAccuracy
      >>> testing.check_measure(ValueAccuracy(), shardsim_envs.ContextFruits(size=3))
    """
    what = f"measure {getattr(measure, 'kind', type(measure).__name__)!r}"
    law.frozen(what, measure)
    law.has(what, measure, "measure", "conditions")
    for name in ("METRIC", "UNIT"):
        told = f"{name} is no text, which the report prints"
        law.hold(what, told, isinstance(getattr(measure, name, None), str))
    told = "`measure` has no docstring, the equation that the report prints"
    law.hold(what, told, bool(measure.measure.__doc__))
    law.hold(what, "does not suit the world", measures.suits(measure, world))
    config = battery.EvaluationConfig(levels=LEVELS)
    built = {
        name: battery.build(
            world,
            phases.altered(world, dict((conditions or {}).get(name, {}))).params(),
            config,
            DISCOUNT,
        )
        for name in dict.fromkeys(measure.conditions)
    }
    order = np.roll(np.arange(SEEDS), 1)
    found = measure.measure(_evidence(measure, world, built, np.arange(SEEDS)))
    turned = measure.measure(_evidence(measure, world, built, order))
    for arm in ("one", "same", measures.EXACT):
        count = 1 if arm == measures.EXACT else SEEDS
        rows = (arm, *(f"{arm}/{row}" for row in measures.extra_rows(measure)))
        for row in rows if arm != measures.EXACT else rows[:1]:
            law.hold(what, f"gives no row {row!r}", row in found.values)
            shape = np.shape(found.values[row])
            law.hold(what, f"row {row!r} has shape {shape}", shape == (count,))
    for row, numbers in found.values.items():
        numbers = np.asarray(numbers)
        law.hold(what, f"row {row!r} is infinite", ~np.isinf(numbers))
        if row.startswith("one"):
            same = found.values["same" + row[3:]]
            law.close(what, "two arms that say the same differ", numbers, same)
            other = turned.values[row]
            law.close(what, "the order of the seeds counts", numbers[order], other)


def _evidence(
    measure: Any,
    world: Environment,
    conditions: dict[str, battery.Condition],
    order: np.ndarray,
) -> measures.Evidence:
    """Two arms that say the same at random, and V*."""

    def arms() -> dict[str, dict[str, state_readings.Reading]]:
        made = {
            name: _reading(world, condition, number, order)
            for number, (name, condition) in enumerate(conditions.items())
        }
        exact = {
            name: state_readings.exact_reading(condition, world.num_actions)
            for name, condition in conditions.items()
        }
        return {"one": made, "same": made, measures.EXACT: exact}

    stages = {phase: arms() for phase in measures.stages(measure)}
    acting = exact_policies.acting_rule(
        action_selection.Lookahead(), DISCOUNT, world.max_steps
    )
    return measures.Evidence(world, conditions, arms(), acting, stages)


def _reading(
    world: Environment, condition: battery.Condition, number: int, order: np.ndarray
) -> state_readings.Reading:
    """Random shards and gates, whose sum is V, and a random D."""
    random = np.random.default_rng(number)
    shape = (SEEDS, *condition.optimal.shape)
    scale = max(float(np.abs(condition.optimal).max()), 1e-3)
    shard_values = random.normal(size=(*shape, SHARDS)) * scale
    gates = random.dirichlet(np.ones(SHARDS), size=shape)
    logits = random.normal(size=(*shape, world.num_actions))
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    bids = gates * shard_values
    return state_readings.Reading(
        value=bids.sum(axis=-1)[order],
        shard_values=shard_values[order],
        gates=gates[order],
        units=bids[order],
        policy_logits=logits[order],
        unit_shard=np.arange(SHARDS),
    )
