"""The measures of every snapshot, taken while an experiment is trained."""

import functools

from shardsim.agents import agent as agents
from shardsim.evaluation import battery, exact_policies, state_readings
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.measures import value_error
from shardsim.storage import records
from shardsim.training import loop, metric_records, phases


def condition(experiment: Experiment, name: str) -> battery.Condition:
    """A condition of the evaluation, by name."""
    changes = experiment.evaluation.conditions[name]
    return battery.build(
        experiment.env,
        phases.altered(experiment.env, changes).params(),
        experiment.evaluation,
        experiment.train.discount,
    )


def hook(
    experiment: Experiment, first: battery.Condition | None = None
) -> loop.SnapshotHook:
    """The metrics of a snapshot, measured in the first condition.

    Args:
      first: the first condition; None: it is built at the first snapshot.
    """

    @functools.cache
    def first_condition() -> battery.Condition:
        if first is not None:
            return first
        return condition(experiment, next(iter(experiment.evaluation.conditions)))

    def measure(
        arm: str, update: int, population: agents.Agent
    ) -> metric_records.SnapshotMetrics:
        built = first_condition()
        reading = state_readings.read(experiment.env, population, built)
        acting = experiment.training_acting
        fraction = exact_policies.return_fraction(reading, built, acting)
        error = value_error.relative_error(reading.value, built)
        shards = state_readings.shards_in_use(reading, built)
        return metric_records.SnapshotMetrics(
            arm=arm,
            update=update,
            return_fraction=records.numbers(fraction),
            value_error=records.numbers(error),
            shards_in_use=records.numbers(shards),
        )

    return measure
