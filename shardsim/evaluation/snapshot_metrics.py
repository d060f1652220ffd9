"""The measures of every snapshot, taken while an experiment is trained."""

import functools
from collections.abc import Mapping

from shardsim.agents import agent as agents
from shardsim.core.types import Params
from shardsim.evaluation import battery, exact_policies, measures, state_readings
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.measures import value_error
from shardsim.storage import records
from shardsim.training import loop, metric_records, phases


def condition(experiment: Experiment, name: str) -> battery.Condition:
    """A condition of the evaluation, by name."""
    env, evaluation = experiment.env, experiment.evaluation
    params, discount = _params(experiment, name), experiment.train.discount
    return battery.build(env, params, evaluation, discount)


def levels(experiment: Experiment, name: str) -> battery.Levels:
    """The levels of a condition of the evaluation, without exact values."""
    params = _params(experiment, name)
    return battery.draw(experiment.env, params, experiment.evaluation)


def _params(experiment: Experiment, name: str) -> Params:
    changes = experiment.evaluation.conditions[name]
    return phases.altered(experiment.env, changes).params()


def conditions(experiment: Experiment) -> dict[str, battery.Condition]:
    """All conditions by name; none where states cannot be listed."""
    names = experiment.evaluation.conditions if experiment.is_exact else ()
    return {name: condition(experiment, name) for name in names}


def hook(
    experiment: Experiment, built: Mapping[str, battery.Condition] | None = None
) -> loop.SnapshotHook:
    """The metrics of a snapshot, measured in the first condition.

    The statistics of predictions are measured in their own conditions, for the arms
    that they contrast. A prediction that compares the ends of phases has none, and none
    whose measure takes long. Where states cannot be listed, nothing is measured.

    Args:
      built: conditions by name; None: they are built at the first snapshot.
    """

    first_name = next(iter(experiment.evaluation.conditions))

    @functools.cache
    def built_condition(name: str) -> battery.Condition:
        return condition(experiment, name) if built is None else built[name]

    def measure(
        arm: str, update: int, population: agents.Agent
    ) -> metric_records.SnapshotMetrics:
        if not experiment.is_exact:
            return metric_records.SnapshotMetrics(arm=arm, update=update)
        first = built_condition(first_name)
        asked = {
            name: entry.measure
            for name, entry in experiment.predictions.items()
            if arm in (entry.rule.contrast.arm, entry.rule.contrast.baseline)
            and not measures.stages(entry.measure)
            and measures.at_snapshots(entry.measure)
        }
        reads_features = experiment.reads_features
        reading = state_readings.read(
            experiment.env, population, first, reads_features(first_name)
        )
        used = (name for one in asked.values() for name in one.conditions)
        conditions = {name: built_condition(name) for name in dict.fromkeys(used)}
        readings = {
            name: reading
            if name == first_name
            else state_readings.read(
                experiment.env, population, own, reads_features(name)
            )
            for name, own in conditions.items()
        }
        evidence = measures.Evidence(
            experiment.env,
            conditions,
            {arm: readings},
            experiment.evaluation_acting,
            level_resamples=0,
            brief=True,
        )
        # predictions with the same measure share its result
        measured = {one: one.measure(evidence).values[arm] for one in {*asked.values()}}
        acting = experiment.training_acting
        fraction = exact_policies.return_fraction(reading, first, acting)
        error = value_error.relative_error(reading.value, first)
        shards = state_readings.shards_in_use(reading, first)
        return metric_records.SnapshotMetrics(
            arm=arm,
            update=update,
            return_fraction=records.numbers(fraction),
            value_error=records.numbers(error),
            shards_in_use=records.numbers(shards),
            statistics={n: records.numbers(measured[m]) for n, m in asked.items()},
        )

    return measure
