"""From an experiment to its results: train all arms, read them, judge, report.

The only place where worlds, training and comparison meet. Symbols: N seeds.
"""

import time
from pathlib import Path
from typing import Any

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
    summary,
)
from shardsim.evaluation.experiment import Experiment, OmnibusConfig
from shardsim.reports.verdicts import maps, report
from shardsim.storage import run_folder
from shardsim.training import arms, loop, phases, schedule


def run(
    experiment: Experiment, folder: Path, progress: loop.Progress
) -> dict[str, Any]:
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
        _noted(experiment, conditions),
        progress,
        schedule.kept(experiment.train, experiment.env),
    )
    populations = loop.run(job)
    trained = time.perf_counter()
    results = judge_arms(experiment, populations, conditions, folder)
    summary.metrics_to_arrays(folder)
    run_folder.write_json(folder / "results.json", results)
    report.write(folder)
    done = time.perf_counter()
    timing = {"train": trained - began, "judge and report": done - trained}
    run_folder.write_json(folder / "timing.json", timing)
    return results


def _noted(
    experiment: Experiment, conditions: dict[str, battery.Condition]
) -> loop.SnapshotHook:
    """What is measured of every snapshot, in the first condition."""
    name = next(iter(conditions))
    measure, how = measures.ValueAccuracy(condition=name), experiment.training_acting

    def note(arm: str, update: int, population: agents.Agent) -> dict[str, Any]:
        del update
        reading = battery.read(experiment.env, population, conditions[name])
        evidence = measures.Evidence(
            experiment.env, conditions, {arm: {name: reading}}, how
        )
        fraction = battery.return_fraction(reading, conditions[name], how)
        numbers = {
            "return fraction": fraction,
            "value error": measure.measure(evidence).values[arm],
            "parts in use": battery.parts_in_use(reading, conditions[name]),
        }
        return {what: judge.jsonable(numbers[what]) for what in summary.CURVES}

    return note


def judge_arms(
    experiment: Experiment,
    populations: dict[str, agents.Agent],
    conditions: dict[str, battery.Condition],
    folder: Path,
) -> dict[str, Any]:
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
    arms = {
        arm.name: _about(experiment, arm, raised[arm.name][first], evidence)
        for arm in experiment.sized_arms()
    }
    missed = {n for n, a in arms.items() if a["trained"] and not a["reached goal"]}
    predictions = prediction.evaluate(experiment.predictions, evidence, missed)
    shown = tuple(dict.fromkeys((first, *experiment.omnibus.conditions)))
    maps.save(folder, evidence, shown)
    results: dict[str, Any] = {
        "name": experiment.name,
        "question": experiment.question,
        "digest": configs.digest(experiment),
        "world": configs.to_dict(experiment.env),
        "seeds": experiment.train.num_seeds,
        "data": experiment.train.data,
        "goal": experiment.min_return,
        "goal after": asked,
        "phases": schedule.ends(experiment.train),
        "arms": arms,
        "acting": {
            "training": experiment.training_acting.describe(),
            "looked at": how.describe(),
        },
        "action gap": {
            "temperature": how.temperature if np.isfinite(how.temperature) else None,
            **{
                arm: judge.jsonable(
                    battery.action_gap(conditions[first], by[first].value, how.discount)
                )
                for arm, by in readings.items()
            },
        },
        "predictions": predictions,
        "omnibus": _omnibus(experiment.omnibus, evidence),
        "curves": summary.curves(folder, experiment.arms),
    }
    results["controls stand"] = all(p["stands"] for p in predictions.values())
    results["answer"] = summary.answer(results)
    return judge.jsonable(results)


def _about(
    experiment: Experiment,
    arm: arms.Arm,
    reading: battery.Reading,
    evidence: measures.Evidence,
) -> dict[str, Any]:
    condition = next(iter(evidence.conditions.values()))
    fraction = battery.return_fraction(reading, condition, experiment.training_acting)
    looked_at = battery.return_fraction(reading, condition, evidence.acting)
    return {
        "head": configs.to_dict(arm.head),
        "trained": arm.trained,
        "width": arm.width,
        "parameters of V": parameters(experiment, arm),
        "return fraction": fraction,
        "mean return fraction": float(fraction.mean()),
        "mean return fraction looked at": float(looked_at.mean()),
        "parts in use": float(battery.parts_in_use(reading, condition).mean()),
        "reached goal": bool(fraction.mean() >= experiment.min_return),
    }


def parameters(experiment: Experiment, arm: arms.Arm) -> int:
    """Parameters of an arm's V."""
    features = experiment.agent.encoder.features
    contexts = experiment.env.num_contexts
    return value.count_parameters(arm.head, features, contexts, arm.width)


def _omnibus(config: OmnibusConfig, evidence: measures.Evidence) -> dict[str, Any]:
    """Energy distance of V, and of the policy, over the reachable battery states."""
    out: dict[str, Any] = {}
    for kind in ("value", "policy"):
        features = {
            arm: np.concatenate(
                [_features(kind, by[c], evidence, c) for c in config.conditions], axis=1
            )
            for arm, by in evidence.readings.items()
            if arm != measures.EXACT
        }
        pairs = (config.contrast, *config.references)
        out[kind] = judge.jsonable(judge.omnibus(features, pairs))
    return out


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
