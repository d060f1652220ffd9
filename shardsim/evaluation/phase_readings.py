"""Readings of the arms at the ends of phases, from the snapshots of a run."""

from pathlib import Path

from shardsim.agents import agent as agents
from shardsim.evaluation import battery, measures, state_readings
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_files, snapshots
from shardsim.training import arms, phases, schedule


def read(
    experiment: Experiment,
    conditions: dict[str, battery.Condition],
    populations: dict[str, agents.Agent],
    folder: Path,
) -> measures.Stages:
    """Evaluate the arms and V* at the end of every phase that a prediction names.

    V* is that of the phase: it has the phase's rewards, unless the condition changes
    them.

    Args:
      populations: agents of each arm; those of untrained arms are the same in all
        phases.
      folder: run folder, with the snapshots.

    Raises:
      RunError: the run does not have the agents of a phase, or keeps only outputs.

    Returns:
      Phase -> arm -> condition -> reading.
    """
    readings: dict[str, dict[str, dict[str, state_readings.Reading]]] = {}
    ends = schedule.ends(experiment.train)
    for phase, names in experiment.phases_to_read().items():
        readings[phase] = {measures.EXACT: _exact_readings(experiment, phase, names)}
        for arm in experiment.sized_arms():
            agent = populations[arm.name]
            if arm.trained and ends[phase] < experiment.train.total_updates:
                agent = _snapshot(experiment, arm, phase, folder)
            readings[phase][arm.name] = {
                name: state_readings.read(experiment.env, agent, conditions[name])
                for name in names
            }
    return readings


def _snapshot(
    experiment: Experiment, arm: arms.Arm, phase: str, folder: Path
) -> agents.Agent:
    """The agents of a trained arm at the end of a phase."""
    end = schedule.ends(experiment.train)[phase]
    path = snapshots.place(folder, arm.name, end)
    arrays = run_files.read_arrays(path)
    if snapshots.keeps_values(arrays):
        raise run_files.RunError(
            f"{path}: keeps outputs of the agents at the end of phase {phase!r}, which "
            "a prediction reads; allowed: E, D and V, which a run keeps if the "
            "prediction is there when it is trained, or with train.snapshots full"
        )
    return snapshots.population(
        experiment.agent, arm.head, arm.width, experiment.env, arrays
    )


def _exact_readings(
    experiment: Experiment, phase: str, names: tuple[str, ...]
) -> dict[str, state_readings.Reading]:
    """V* in some conditions, with the rewards of a phase."""
    env, readings = experiment.env, {}
    for name in names:
        params = phases.altered(env, experiment.at(phase, name)).params()
        condition = battery.build(
            env, params, experiment.evaluation, experiment.train.discount
        )
        readings[name] = state_readings.exact_reading(condition, env.num_actions)
    return readings
