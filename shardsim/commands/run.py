"""`shardsim run`: train all arms of an experiment, evaluate, judge, and report.

Symbols: N seeds.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.commands import config, executors, progress, tables, trackers
from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation import (
    battery,
    exact_policies,
    film,
    judge,
    measures,
    phase_readings,
    prediction,
    preregistration,
    results,
    rollouts,
    snapshot_metrics,
    state_readings,
    summary,
)
from shardsim.evaluation.experiment import Experiment, OmnibusConfig
from shardsim.evaluation.measures import value_error
from shardsim.reports import maps
from shardsim.storage import records, run_folder
from shardsim.training import arms, loop, metric_records, schedule
from shardsim.training.results import Timing

LOG = logging.getLogger(__name__)


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Create the run folder, run the experiment in it, and print its results."""
    experiment = config.read_experiment(options.file, flags)
    folder = options.out or Path("runs") / experiment.name
    run_folder.create(folder, config_files.to_yaml(experiment), options.overwrite)
    return start(experiment, folder, executors.chosen(options))


def start(
    experiment: Experiment, folder: Path, executor: executors.Executor | None = None
) -> int:
    """Run in a run folder, from its last checkpoint if it has one; print results.

    Args:
      executor: what trains it in parts; None: this process trains all.
    """
    print(folder)
    for arm in experiment.sized_arms():
        print(f"{arm.name}: {value_params(experiment, arm):,} parameters of V")
    show(train_and_judge(experiment, folder, executor), folder)
    return 0


def train_and_judge(
    experiment: Experiment, folder: Path, executor: executors.Executor | None = None
) -> results.RunResult:
    """Run in a run folder, from its last checkpoint if it has one; show the progress.

    Args:
      executor: what trains it in parts; None: this process trains all.
    """
    if experiment.train.num_seeds == 1:
        progress.say(
            "train.num_seeds 1: shows that the training runs and what one agent does. "
            "It cannot show an effect: intervals need 2 seeds, and every prediction "
            "stays undecided"
        )
    with run_folder.lock(folder):
        if executor is not None:
            preregistration.register(experiment, folder)
        executors.train_parts(executor, experiment, folder)
        with (
            progress.training(experiment) as advance,
            trackers.following(experiment, folder) as follower,
        ):
            result = run(experiment, folder, follower.beside(advance))
            follower.finish(result)
            return result


def show(result: results.RunResult, folder: Path) -> None:
    """Print the results, where the report is, and the run folder."""
    print(tables.table(result))
    print(f"\n{result.answer}\n{folder / 'report.html'}\n{folder}")


def run(
    experiment: Experiment, folder: Path, advance: loop.Progress
) -> results.RunResult:
    """Train, evaluate, judge and report.

    Args:
      folder: a run folder that has been created and locked.
      advance: called after every chunk of updates.

    Returns:
      The results, as written to results.json.
    """
    start_time = time.perf_counter()
    registered = preregistration.register(experiment, folder)
    arms = experiment.sized_arms()
    if experiment.is_exact:
        count = len(experiment.evaluation.conditions)
        LOG.info("exact values of %d conditions", count)
    conditions = snapshot_metrics.conditions(experiment)
    job = loop.TrainingJob(
        experiment.env,
        experiment.agent,
        experiment.train,
        arms,
        folder,
        snapshot_metrics.hook(experiment, conditions),
        advance,
        schedule.load_dataset(experiment.train, experiment.env),
    )
    populations = loop.run(job)
    trained_time = time.perf_counter()
    count = len(experiment.evaluation.conditions)
    LOG.info("evaluating %d arms in %d conditions", len(arms), count)
    result = judge_arms(experiment, populations, conditions, folder, registered)
    metric_records.write_arrays(folder)
    records.write(folder / results.FILE, result)
    # the report needs a plotting library, and training does not
    from shardsim.reports.verdicts import report

    LOG.info("writing the report")
    report.write(folder)
    timing = Timing(trained_time - start_time, time.perf_counter() - trained_time)
    records.write(folder / "timing.json", timing)
    if conditions:
        film.finish(experiment, conditions, folder)
    loop.finish(folder)
    return result


def judge_arms(
    experiment: Experiment,
    populations: dict[str, agents.Agent],
    conditions: dict[str, battery.Condition],
    folder: Path,
    registered: preregistration.Preregistration | None,
) -> results.RunResult:
    """Evaluate every arm in every condition and judge the predictions.

    Args:
      populations: N agents of each arm at the end of training.
      conditions: by name; the first one is the training distribution. None where
        states cannot be listed: what needs exact values has no number there.
      folder: run folder, with the snapshots at the ends of phases.
      registered: the questions when training started, if they were kept.
    """
    evidence = _evidence(experiment, populations, conditions, folder)
    gaps = _action_gaps(evidence)
    arms = _arm_results(experiment, evidence, gaps)
    trained = {name: arm for name, arm in arms.items() if arm.trained}
    missed = judge.Missed(
        {name for name, arm in trained.items() if not arm.reached_min_return},
        {name for name, arm in trained.items() if not arm.reached_max_value_error},
    )
    asked = preregistration.asked(experiment, registered)
    look = preregistration.look(experiment, registered)
    LOG.info("judging %d predictions", len(experiment.predictions))
    predictions = prediction.evaluate(
        experiment.predictions, evidence, missed, asked, look
    )
    omnibus = _omnibus(
        experiment.omnibus,
        evidence,
        preregistration.omnibus_asked(experiment, registered),
    )
    if conditions:
        LOG.info("drawing maps")
        first = next(iter(conditions))
        map_conditions = tuple(dict.fromkeys((first, *experiment.omnibus.conditions)))
        maps.write(folder, maps.draw(evidence, map_conditions))
    return results.RunResult(
        name=experiment.name,
        question=experiment.question,
        answer=summary.answer(predictions),
        digest=configs.digest(experiment),
        env=experiment.env,
        num_seeds=experiment.train.num_seeds,
        data=experiment.train.data,
        min_return=experiment.min_return,
        min_return_phase=experiment.min_return_phase,
        max_value_error=experiment.max_value_error,
        phase_ends=schedule.ends(experiment.train),
        acting=results.ActingResult(
            training=experiment.training_acting.describe(),
            evaluation=evidence.acting.describe(),
            temperature=records.number(evidence.acting.temperature),
            exact_action_gap=gaps[measures.EXACT],
        ),
        arms=arms,
        predictions=predictions,
        all_valid=all(entry.is_valid for entry in predictions.values()),
        removed_questions=(
            preregistration.removed(experiment, registered.questions)
            if registered is not None
            else ()
        ),
        omnibus=omnibus,
        curves=summary.curves(folder, experiment.arms),
        effect_curves=summary.effect_curves(folder, predictions),
    )


def _evidence(
    experiment: Experiment,
    populations: dict[str, agents.Agent],
    conditions: dict[str, battery.Condition],
    folder: Path,
) -> measures.Evidence:
    """What every arm and V* say in every condition, now and at the ends of phases."""
    env = experiment.env
    if not conditions:
        unlisted = {
            name: snapshot_metrics.levels(experiment, name)
            for name in experiment.evaluation.conditions
        }
        return measures.Evidence(
            env,
            {},
            {arm: {} for arm in populations},
            experiment.evaluation_acting,
            populations=populations,
            unlisted=unlisted,
        )
    readings = {
        arm: {
            name: state_readings.read(env, agent, c, experiment.reads_features(name))
            for name, c in conditions.items()
        }
        for arm, agent in populations.items()
    }
    readings[measures.EXACT] = {
        name: state_readings.exact_reading(condition, env.num_actions)
        for name, condition in conditions.items()
    }
    stages = phase_readings.read(experiment, conditions, populations, folder)
    return measures.Evidence(
        env,
        conditions,
        readings,
        experiment.evaluation_acting,
        stages,
        populations=populations,
    )


def _action_gaps(evidence: measures.Evidence) -> dict[str, records.Number]:
    """The action gap of every arm and of V* in the first condition."""
    if not evidence.conditions:
        return dict.fromkeys((*evidence.readings, measures.EXACT))
    first, condition = next(iter(evidence.conditions.items()))
    discount = evidence.acting.discount
    return {
        arm: records.number(
            exact_policies.action_gap(condition, by_condition[first].value, discount)
        )
        for arm, by_condition in evidence.readings.items()
    }


def _arm_results(
    experiment: Experiment,
    evidence: measures.Evidence,
    gaps: dict[str, records.Number],
) -> dict[str, results.ArmResult]:
    """Returns and V of all arms, at the end of the phase that the return goal names."""
    if not evidence.conditions:
        return {arm.name: _unknown(experiment, arm) for arm in experiment.sized_arms()}
    first, phase = next(iter(evidence.conditions)), experiment.min_return_phase
    readings = evidence.readings if phase is None else evidence.stages[phase]
    return {
        arm.name: _arm_result(
            experiment, arm, readings[arm.name][first], evidence, gaps[arm.name]
        )
        for arm in experiment.sized_arms()
    }


def _unknown(experiment: Experiment, arm: arms.Arm) -> results.ArmResult:
    """An arm where states cannot be listed: nothing that needs exact values."""
    nothing = (None,) * experiment.train.num_seeds
    return results.ArmResult(
        head=experiment.arms[arm.name].head,
        trained=arm.trained,
        width=arm.width,
        value_params=value_params(experiment, arm),
        return_fraction=nothing,
        mean_return_fraction=None,
        mean_evaluation_return_fraction=None,
        value_error=nothing,
        mean_value_error=None,
        shards_in_use=None,
        action_gap=None,
        reached_min_return=True,
        reached_max_value_error=True,
    )


def _arm_result(
    experiment: Experiment,
    arm: arms.Arm,
    reading: state_readings.Reading,
    evidence: measures.Evidence,
    action_gap: records.Number,
) -> results.ArmResult:
    condition = next(iter(evidence.conditions.values()))
    fraction = exact_policies.return_fraction(
        reading, condition, experiment.training_acting
    )
    evaluated = exact_policies.return_fraction(reading, condition, evidence.acting)
    error = value_error.relative_error(reading.value, condition)
    return results.ArmResult(
        head=experiment.arms[arm.name].head,
        trained=arm.trained,
        width=arm.width,
        value_params=value_params(experiment, arm),
        return_fraction=records.numbers(fraction),
        mean_return_fraction=records.number(fraction.mean()),
        mean_evaluation_return_fraction=records.number(evaluated.mean()),
        value_error=records.numbers(error),
        mean_value_error=records.number(error.mean()),
        shards_in_use=records.number(
            state_readings.shards_in_use(reading, condition).mean()
        ),
        action_gap=action_gap,
        reached_min_return=experiment.min_return is None
        or bool(fraction.mean() >= experiment.min_return),
        # where V* is the same everywhere, V has no error in units of its spread
        reached_max_value_error=experiment.max_value_error is None
        or bool(error.mean() <= experiment.max_value_error),
    )


def value_params(experiment: Experiment, arm: arms.Arm) -> int:
    """Number of parameters of an arm's V."""
    features = experiment.agent.encoder.features
    contexts = experiment.env.num_contexts
    return value.count_parameters(arm.head, features, contexts, arm.width)


def _omnibus(
    config: OmnibusConfig, evidence: measures.Evidence, asked: results.Asked
) -> results.OmnibusResult:
    """Energy distances of V and of the policy over reachable evaluation states.

    Where states cannot be listed, the states are the starts of the levels.
    """

    def tests(kind: str) -> tuple[results.EnergyResult, ...]:
        features = {
            arm: np.concatenate(
                [_features(kind, arm, evidence, name) for name in config.conditions],
                axis=1,
            )
            for arm in evidence.readings
            if arm != measures.EXACT
        }
        return judge.omnibus(features, (config.contrast, *config.references))

    return results.OmnibusResult(tests("value"), tests("policy"), asked)


def _features(
    kind: str, arm: str, evidence: measures.Evidence, name: str
) -> np.ndarray:
    """[N, d]: V or the policy of each seed, over the states of a condition."""
    if name in evidence.unlisted:
        return _start_features(kind, arm, evidence, name)
    condition, reading = evidence.conditions[name], evidence.readings[arm][name]
    mask = condition.reachable
    if kind == "value":
        # in units of mean V*, unless that is 0 because nothing is rewarded
        return reading.value[:, mask] / (condition.optimal[mask].mean() or 1.0)
    policy = exact_policies.policy(
        reading.value, reading.policy_logits, condition, evidence.acting
    )
    return policy[:, mask].reshape(len(policy), -1)


def _start_features(
    kind: str, arm: str, evidence: measures.Evidence, name: str
) -> np.ndarray:
    """The same over the starts of the levels; V in units of the return."""
    env, acting, levels = evidence.env, evidence.acting, evidence.unlisted[name]
    starts = [
        rollouts.at_starts(env, agent, levels, acting)
        for agent in rollouts.each_agent(evidence.populations[arm])
    ]
    return np.stack([getattr(each, kind).ravel() for each in starts])
