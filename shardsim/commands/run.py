"""From an experiment to its results: train all arms, read them, judge, report.

The only place where worlds, training and comparison meet. Symbols: N seeds.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.core import config as configs
from shardsim.evaluation import battery, judge, measures, phase_readings, prediction
from shardsim.evaluation.experiment import Experiment, OmnibusConfig
from shardsim.reports.verdicts import maps, report
from shardsim.storage import run_folder
from shardsim.training import loop, phases, schedule

CURVES = ("return fraction", "value error", "parts in use")
"""What is told of each seed at every snapshot."""


def run(
    experiment: Experiment, folder: Path, progress: loop.Progress
) -> dict[str, Any]:
    """Train, read, judge and report into a run folder that has been created.

    Returns:
      The results, as written to results.json.
    """
    began = time.perf_counter()
    arms = experiment.sized()
    conditions = {
        name: battery.build(
            experiment.world,
            phases.altered(experiment.world, fields).params(),
            experiment.battery,
            experiment.train.discount,
        )
        for name, fields in experiment.battery.conditions.items()
    }
    job = loop.Job(
        experiment.world,
        experiment.agent,
        experiment.train,
        arms,
        folder,
        _noted(experiment, conditions),
        progress,
        schedule.kept(experiment.train, experiment.world),
    )
    populations = loop.run(job)
    trained = time.perf_counter()
    results = judge_arms(experiment, populations, conditions, folder)
    metrics_to_arrays(folder)
    run_folder.write_json(folder / "results.json", results)
    report.write(folder)
    done = time.perf_counter()
    timing = {"train": trained - began, "judge and report": done - trained}
    run_folder.write_json(folder / "timing.json", timing)
    return results


def _noted(
    experiment: Experiment, conditions: dict[str, battery.Condition]
) -> loop.Report:
    """What is measured of every snapshot, in the first condition."""
    name = next(iter(conditions))
    measure, how = measures.ValueAccuracy(condition=name), experiment.acts

    def note(arm: str, update: int, population: agents.Agent) -> dict[str, Any]:
        del update
        reading = battery.read(experiment.world, population, conditions[name])
        evidence = measures.Evidence(
            experiment.world, conditions, {arm: {name: reading}}, how
        )
        fraction = battery.return_fraction(reading, conditions[name], how)
        numbers = {
            "return fraction": fraction,
            "value error": measure.measure(evidence).values[arm],
            "parts in use": battery.parts_in_use(reading, conditions[name]),
        }
        return {what: judge.jsonable(numbers[what]) for what in CURVES}

    return note


def judge_arms(
    experiment: Experiment,
    populations: dict[str, agents.Agent],
    conditions: dict[str, battery.Condition],
    folder: Path,
) -> dict[str, Any]:
    """Read every arm on the battery and judge the predictions."""
    env, how = experiment.world, experiment.looked_at
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
    first, asked = next(iter(conditions)), experiment.goal_after
    raised = readings if asked is None else staged[asked]
    arms = {
        arm.name: _about(experiment, arm, raised[arm.name][first], evidence)
        for arm in experiment.sized()
    }
    missed = {n for n, a in arms.items() if a["trained"] and not a["reached goal"]}
    predictions = prediction.evaluate(experiment.predictions, evidence, missed)
    shown = tuple(dict.fromkeys((first, *experiment.omnibus.conditions)))
    maps.save(folder, evidence, shown)
    results: dict[str, Any] = {
        "name": experiment.name,
        "question": experiment.question,
        "digest": configs.digest(experiment),
        "world": configs.to_dict(experiment.world),
        "seeds": experiment.train.num_seeds,
        "data": experiment.train.data,
        "goal": experiment.goal,
        "goal after": asked,
        "phases": schedule.ends(experiment.train),
        "arms": arms,
        "acting": {"training": experiment.acts.told(), "looked at": how.told()},
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
        "curves": curves(folder, experiment.arms),
    }
    results["controls stand"] = all(p["stands"] for p in predictions.values())
    results["answer"] = answer(results)
    return judge.jsonable(results)


def _about(
    experiment: Experiment,
    arm: loop.Arm,
    reading: battery.Reading,
    evidence: measures.Evidence,
) -> dict[str, Any]:
    condition = next(iter(evidence.conditions.values()))
    fraction = battery.return_fraction(reading, condition, experiment.acts)
    looked_at = battery.return_fraction(reading, condition, evidence.how)
    return {
        "head": configs.to_dict(arm.head),
        "trained": arm.trained,
        "width": arm.width,
        "parameters of V": parameters(experiment, arm),
        "return fraction": fraction,
        "mean return fraction": float(fraction.mean()),
        "mean return fraction looked at": float(looked_at.mean()),
        "parts in use": float(battery.parts_in_use(reading, condition).mean()),
        "reached goal": bool(fraction.mean() >= experiment.goal),
    }


def parameters(experiment: Experiment, arm: loop.Arm) -> int:
    """Parameters of an arm's V."""
    features = experiment.agent.encoder.features
    contexts = experiment.world.num_contexts
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
    chosen = battery.policy(reading.value, reading.prior, condition, evidence.how)
    return chosen[:, mask].reshape(len(chosen), -1)


def curves(folder: Path, arms: Iterable[str]) -> dict[str, Any]:
    """Learning curves by arm from the metrics: what each snapshot showed."""
    out: dict[str, Any] = {}
    for row in run_folder.read_lines(folder / "metrics.jsonl"):
        if "snapshot" not in row:
            continue
        curve = out.setdefault(row["arm"], {"update": [], **{n: [] for n in CURVES}})
        if row["snapshot"] in curve["update"]:
            continue
        curve["update"].append(row["snapshot"])
        for what in CURVES:  # a run of before may lack one
            curve[what].append(row.get(what))
    return {arm: out[arm] for arm in arms}


def metrics_to_arrays(folder: Path) -> None:
    """metrics.npz: the lines of metrics.jsonl as arrays, by arm and name."""
    gathered: dict[str, list[Any]] = {}
    for row in run_folder.read_lines(folder / "metrics.jsonl"):
        kind = "snapshot" if "snapshot" in row else "chunk"
        for name, item in row.items():
            if name not in ("arm", "phase"):
                rows = gathered.setdefault(f"{row['arm']}/{kind}/{name}", [])
                rows.append(_numbers(item))
    arrays = {name: _ragged(items) for name, items in gathered.items()}
    run_folder.write_arrays(folder / "metrics.npz", arrays)


def _numbers(item: Any) -> Any:
    """The same with NaN where a seed has no number."""
    if isinstance(item, list):
        return [np.nan if x is None else x for x in item]
    return item


def _ragged(items: list[Any]) -> np.ndarray:
    """An array of rows; rows of different widths are filled up with NaN."""
    shapes = {np.shape(item) for item in items}
    if len(shapes) == 1:
        return np.asarray(items)
    width = max(int(np.size(item)) for item in items)
    flat = [np.ravel(np.asarray(item, float)) for item in items]
    return np.stack(
        [np.pad(f, (0, width - f.size), constant_values=np.nan) for f in flat]
    )


def answer(results: dict[str, Any]) -> str:
    """The question's answer in a sentence, put together from the verdicts."""
    verdicts = {n: p["verdict"] for n, p in results["predictions"].items()}
    if not verdicts:
        return "Nothing was asked: the config holds no prediction."
    if not results["controls stand"]:
        entries = results["predictions"].items()
        missed = [n for n, p in entries if p["unlearnt"]]
        fallen = [n for n, p in entries if not p["stands"] and n not in missed]
        why = [
            f"{what} in {', '.join(names)}"
            for what, names in (
                ("controls did not come out as they must", fallen),
                ("an arm of the contrast missed the goal", missed),
            )
            if names
        ]
        return f"No claim stands: {'; '.join(why)}."
    if "shard" in verdicts.values():
        claim = "Yes, in part."
    elif "undecided" in verdicts.values():
        claim = "Not shown."
    else:
        claim = "No, in nothing that was asked."
    kinds = ("shard", "network", "unitary", "no difference", "undecided")
    found = {kind: [n for n, v in verdicts.items() if v == kind] for kind in kinds}
    told = [f"{kind}: {', '.join(names)}" for kind, names in found.items() if names]
    blind = [
        name
        for name, entry in results["predictions"].items()
        if entry["sensitivity"] and not entry["sensitivity"]["seen"]
    ]
    more = (
        f" Shards made by hand are not seen in {', '.join(blind)}: what is not seen "
        "there is no evidence against shards."
        if blind
        else ""
    )
    return f"{claim} Verdicts: {'; '.join(told)}.{more}"
