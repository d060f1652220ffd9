"""How the arms stood at the ends of phases, read from the snapshots of a run."""

from pathlib import Path

from shardsim.agents import agent as agents
from shardsim.evaluation import battery, measures
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_folder, snapshots
from shardsim.training import arms, phases, schedule


def read(
    experiment: Experiment,
    conditions: dict[str, battery.Condition],
    populations: dict[str, agents.Agent],
    folder: Path,
) -> measures.Stages:
    """The arms, and V*, at the end of every phase that something is asked of.

    V* is that of the phase: its rewards, where a condition does not change them.
    """
    found: dict[str, dict[str, dict[str, battery.Reading]]] = {}
    for phase, names in experiment.phases_to_read().items():
        wanted = {name: conditions[name] for name in names}
        found[phase] = {measures.EXACT: _exact(experiment, phase, names)}
        for arm in experiment.sized_arms():
            agent = populations[arm.name]
            if arm.trained:
                agent = _kept(experiment, arm, phase, folder)
            found[phase][arm.name] = {
                name: battery.read(experiment.env, agent, condition)
                for name, condition in wanted.items()
            }
    return found


def _kept(
    experiment: Experiment, arm: arms.Arm, phase: str, folder: Path
) -> agents.Agent:
    end = schedule.ends(experiment.train)[phase]
    arrays = run_folder.read_arrays(snapshots.place(folder, arm.name, end))
    return snapshots.population(
        experiment.agent, arm.head, arm.width, experiment.env, arrays
    )


def _exact(
    experiment: Experiment, phase: str, names: tuple[str, ...]
) -> dict[str, battery.Reading]:
    env, found = experiment.env, {}
    for name in names:
        world = phases.altered(env, experiment.at(phase, name))
        condition = battery.build(
            env, world.params(), experiment.evaluation, experiment.train.discount
        )
        found[name] = battery.exact_reading(condition, env.num_actions)
    return found
