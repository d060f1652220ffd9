"""From an experiment to its results: train all arms, read them, judge, report.

The only place where worlds, training and comparison meet. Symbols: N seeds.
"""

import time
from pathlib import Path

import numpy as np

from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.core import config as configs
from shardsim.evaluation import (
    battery,
    judge,
    measures,
    phase_readings,
    prediction,
    results,
    summary,
)
from shardsim.evaluation.experiment import Experiment, OmnibusConfig
from shardsim.evaluation.measures import value_error
from shardsim.reports import maps
from shardsim.storage import records
from shardsim.training import arms, loop, metric_records, phases, schedule
from shardsim.training.results import Timing


def run(
    experiment: Experiment, folder: Path, progress: loop.Progress
) -> results.RunResult:
    """Train, read, judge and report into a run folder that has been created.

    Returns:
      The results, as written to results.json.
    """
    began = time.perf_counter()
    arms = experiment.sized_arms()
    conditions = {
        name: battery.build(
            experiment.env,
            phases.altered(experiment.env, fields).params(),
            experiment.evaluation,
            experiment.train.discount,
        )
        for name, fields in experiment.evaluation.conditions.items()
    }
    job = loop.TrainingJob(
        experiment.env,
        experiment.agent,
        experiment.train,
        arms,
        folder,
        _snapshot_line(experiment, conditions),
        progress,
        schedule.load_dataset(experiment.train, experiment.env),
    )
    populations = loop.run(job)
    trained = time.perf_counter()
    result = judge_arms(experiment, populations, conditions, folder)
    metric_records.write_arrays(folder)
    records.write(folder / results.FILE, result)
    # its charts need a plotting library, which training does without
    from shardsim.reports.verdicts import report

    report.write(folder)
    timing = Timing(trained - began, time.perf_counter() - trained)
    records.write(folder / "timing.json", timing)
    return result


def _snapshot_line(
    experiment: Experiment, conditions: dict[str, battery.Condition]
) -> loop.SnapshotHook:
    """What is measured of every snapshot, in the first condition."""
    name = next(iter(conditions))

    def line(
        arm: str, update: int, population: agents.Agent
    ) -> metric_records.SnapshotMetrics:
        reading = battery.read(experiment.env, population, conditions[name])
        condition, acts = conditions[name], experiment.training_acting
        fraction = battery.return_fraction(reading, condition, acts)
        error = value_error.relative_error(reading.value, condition)
        used = battery.shards_in_use(reading, condition)
        return metric_records.SnapshotMetrics(
            arm=arm,
            update=update,
            return_fraction=records.numbers(fraction),
            value_error=records.numbers(error),
            shards_in_use=records.numbers(used),
        )

    return line


def judge_arms(
    experiment: Experiment,
    populations: dict[str, agents.Agent],
    conditions: dict[str, battery.Condition],
    folder: Path,
) -> results.RunResult:
    """Read every arm on the battery and judge the predictions."""
    env, how = experiment.env, experiment.evaluation_acting
    readings = {
        arm: {name: battery.read(env, agent, c) for name, c in conditions.items()}
        for arm, agent in populations.items()
    }
    readings[measures.EXACT] = {
        name: battery.exact_reading(condition, env.num_actions)
        for name, condition in conditions.items()
    }
    staged = phase_readings.read(experiment, conditions, populations, folder)
    evidence = measures.Evidence(env, conditions, readings, how, staged)
    first, asked = next(iter(conditions)), experiment.min_return_phase
    raised = readings if asked is None else staged[asked]
    gaps = {
        arm: records.number(
            battery.action_gap(conditions[first], by[first].value, how.discount)
        )
        for arm, by in readings.items()
    }
    arms = {
        arm.name: _arm(
            experiment, arm, raised[arm.name][first], evidence, gaps[arm.name]
        )
        for arm in experiment.sized_arms()
    }
    missed = {n for n, a in arms.items() if a.trained and not a.reached_min_return}
    predictions = prediction.evaluate(experiment.predictions, evidence, missed)
    shown = tuple(dict.fromkeys((first, *experiment.omnibus.conditions)))
    maps.write(folder, maps.draw(evidence, shown))
    return results.RunResult(
        name=experiment.name,
        question=experiment.question,
        answer=summary.answer(predictions),
        digest=configs.digest(experiment),
        env=experiment.env,
        num_seeds=experiment.train.num_seeds,
        data=experiment.train.data,
        min_return=experiment.min_return,
        min_return_phase=asked,
        phase_ends=schedule.ends(experiment.train),
        acting=results.ActingResult(
            training=experiment.training_acting.describe(),
            evaluation=how.describe(),
            temperature=records.number(how.temperature),
            exact_action_gap=gaps[measures.EXACT],
        ),
        arms=arms,
        predictions=predictions,
        all_valid=all(entry.is_valid for entry in predictions.values()),
        omnibus=_omnibus(experiment.omnibus, evidence),
        curves=summary.curves(folder, experiment.arms),
    )


def _arm(
    experiment: Experiment,
    arm: arms.Arm,
    reading: battery.Reading,
    evidence: measures.Evidence,
    action_gap: records.Number,
) -> results.ArmResult:
    condition = next(iter(evidence.conditions.values()))
    fraction = battery.return_fraction(reading, condition, experiment.training_acting)
    evaluated = battery.return_fraction(reading, condition, evidence.acting)
    error = value_error.relative_error(reading.value, condition)
    return results.ArmResult(
        head=arm.head,
        trained=arm.trained,
        width=arm.width,
        value_params=parameters(experiment, arm),
        return_fraction=records.numbers(fraction),
        mean_return_fraction=records.number(fraction.mean()),
        mean_evaluation_return_fraction=records.number(evaluated.mean()),
        value_error=records.numbers(error),
        mean_value_error=records.number(error.mean()),
        shards_in_use=records.number(battery.shards_in_use(reading, condition).mean()),
        action_gap=action_gap,
        reached_min_return=bool(fraction.mean() >= experiment.min_return),
    )


def parameters(experiment: Experiment, arm: arms.Arm) -> int:
    """Parameters of an arm's V."""
    features = experiment.agent.encoder.features
    contexts = experiment.env.num_contexts
    return value.count_parameters(arm.head, features, contexts, arm.width)


def _omnibus(
    config: OmnibusConfig, evidence: measures.Evidence
) -> results.OmnibusResult:
    """Energy distance of V, and of the policy, over the reachable battery states."""

    def tests(kind: str) -> tuple[results.EnergyResult, ...]:
        features = {
            arm: np.concatenate(
                [_features(kind, by[c], evidence, c) for c in config.conditions], axis=1
            )
            for arm, by in evidence.readings.items()
            if arm != measures.EXACT
        }
        return judge.omnibus(features, (config.contrast, *config.references))

    return results.OmnibusResult(value=tests("value"), policy=tests("policy"))


def _features(
    kind: str, reading: battery.Reading, evidence: measures.Evidence, name: str
) -> np.ndarray:
    condition = evidence.conditions[name]
    mask = condition.reachable
    if kind == "value":
        # in units of V*, where it has a mean: not where nothing pays
        return reading.value[:, mask] / (condition.optimal[mask].mean() or 1.0)
    chosen = battery.policy(
        reading.value, reading.policy_logits, condition, evidence.acting
    )
    return chosen[:, mask].reshape(len(chosen), -1)
