"""The agents of a run folder: which updates it has, and the agents at one of them.

Symbols: N seeds (times the points of a sweep).
"""

from pathlib import Path
from typing import NamedTuple

from shardsim.agents.agent import Agent
from shardsim.core import config as configs
from shardsim.core import field_errors
from shardsim.evaluation import exact_policies
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_files, snapshots, trained
from shardsim.storage.run_files import RunError
from shardsim.training import arms, schedule
from shardsim.training.standalone import Training


class RunAgents(NamedTuple):
    """The agents of one arm at one update."""

    update: int
    """Updates of the training after which they are as they are."""
    population: Agent
    """Leaves [N, ...], without auxiliary decoders."""


def acting(config: Experiment | Training) -> exact_policies.ActingRule:
    """How agents act in the evaluation; where there is none, as in training."""
    if isinstance(config, Experiment):
        return config.evaluation_acting
    train = config.train
    return exact_policies.acting_rule(
        train.action_selection, train.discount, config.env.max_steps
    )


def updates(folder: Path, arm: str) -> list[int]:
    """The updates of which a run keeps the agents of an arm, in rising order."""
    files = _files(folder, arm)
    return [n for n, file in files.items() if snapshots.keeps_agents(file)]


def read(
    folder: Path,
    config: Experiment | Training,
    arm: str,
    update: int | None = None,
    phase: str | None = None,
) -> RunAgents:
    """The agents of an arm.

    Args:
      folder: run folder.
      config: that of the run.
      arm: its name.
      update: updates of the training; None: the last ones that there are.
      phase: name of a phase, for the agents at its end.

    Raises:
      ConfigError: no such arm, phase or update, or both are given.
      RunError: the run does not have these agents, or keeps their outputs alone, or a
        file is damaged.
    """
    if arm not in config.arms:
        allowed = field_errors.one_of(config.arms, arm)
        raise configs.ConfigError(f"arm: got {arm!r}; allowed: {allowed}")
    files = _files(folder, arm)
    number = _update(folder, config, arm, files, update, phase)
    arrays = run_files.read_arrays(files[number])
    if snapshots.keeps_values(arrays):
        allowed = ", ".join(map(str, updates(folder, arm)))
        raise RunError(
            f"update: got {number}, of which the run keeps outputs alone; allowed "
            f"for arm {arm!r}: {allowed}, or all in a run with train.snapshots full"
        )
    (sized,) = arms.size_arms({arm: config.arms[arm]}, config.agent, config.env)
    agents = snapshots.population(
        config.agent, sized.head, sized.width, config.env, arrays
    )
    count, found = config.train.population, len(next(iter(arrays.values())))
    if found != count:
        raise RunError(f"{files[number]}: got {found} seeds; allowed: {count}")
    return RunAgents(number, agents)


def _files(folder: Path, arm: str) -> dict[int, Path]:
    """The file of an arm at each update that has one."""
    files = {
        update: snapshots.place(folder, arm, update)
        for update in snapshots.updates(folder, arm)
    }
    ended = trained.read(folder).get(arm)
    if ended is not None:
        files[ended.update] = trained.place(folder, arm)
    return dict(sorted(files.items()))


def _update(
    folder: Path,
    config: Experiment | Training,
    arm: str,
    files: dict[int, Path],
    update: int | None,
    phase: str | None,
) -> int:
    """The update that is asked for.

    Raises:
      ConfigError: there are no agents of it.
    """
    if not files:
        raise RunError(
            f"{folder}: got no agents of arm {arm!r}; allowed: an arm whose training "
            "has begun (shardsim resume goes on with it)"
        )
    if phase is not None:
        ends = schedule.ends(config.train)
        if update is not None or phase not in ends:
            got = f"{phase!r} and update {update}" if update else repr(phase)
            allowed = field_errors.one_of(ends, phase)
            raise configs.ConfigError(
                f"phase: got {got}; allowed: an update, or one of {allowed}"
            )
        update = ends[phase]
    if update is None or not config.arms[arm].trained:
        return max(files)
    if update not in files:
        raise configs.ConfigError(
            f"update: got {update}; allowed for arm {arm!r}: "
            f"{', '.join(map(str, files))}"
        )
    return update
