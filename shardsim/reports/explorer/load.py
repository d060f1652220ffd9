"""From run folders to the inputs of a page: sides, checkpoints, mazes.

A side is one arm of a run; a page shows one side, or A and B next to each other.
Symbols: N seeds, C checkpoints, M mazes, L levels, S states.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shardsim.agents import agent as agents
from shardsim.core import config as configs
from shardsim.core import dynamic_programming
from shardsim.evaluation import battery, exact_policies
from shardsim.evaluation import load as evaluation_load
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_files, snapshots
from shardsim.training import arms, phases
from shardsim.training.standalone import Training

MOST_LEVELS = 16
"""Levels of the first condition over which curves of training are averaged."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One arm with its checkpoints."""

    folder: Path
    config: Experiment | Training
    arm: arms.Arm
    updates: tuple[int, ...]
    """Update of each of the C checkpoints."""
    networks: agents.Agent
    """Leaves [C * N, ...], seeds fastest."""

    @property
    def num_seeds(self) -> int:
        """N."""
        return self.config.train.num_seeds

    @property
    def training_acting(self) -> exact_policies.ActingRule:
        """How it acts in training: returns are measured under this rule."""
        return _training_acting(self.config)


class Maze(NamedTuple):
    """A level that the page draws."""

    condition: str
    level: int
    """Its index in the condition."""


@dataclasses.dataclass(frozen=True)
class PageInputs:
    """Everything that a page is computed from."""

    sides: tuple[Side, ...]
    conditions: dict[str, battery.Condition]
    mazes: tuple[Maze, ...]
    acting: exact_policies.ActingRule
    """Of the evaluation: everything but returns is measured under this rule."""

    @property
    def env(self) -> Any:
        """The environment of both sides."""
        return self.sides[0].config.env

    @property
    def first(self) -> battery.Condition:
        """The condition in which both sides were trained."""
        return next(iter(self.conditions.values()))


def load(
    folders: list[Path],
    arms: list[str] | None,
    mazes: int,
    checkpoints: int | None,
) -> PageInputs:
    """Read one or two runs.

    Args:
      arms: one or two names. None takes both arms of the omnibus contrast (one run), or
        its first arm in each of two runs; of a training, the first arms.
      mazes: number of levels to draw.
      checkpoints: largest number to show, always with the last; None shows all.

    Raises:
      RunError: an arm or a snapshot is missing, the run is a sweep, the environments
        differ, or their states cannot be enumerated.
    """
    runs = [evaluation_load.load(folder) for folder in folders]
    for folder, config in zip(folders, runs, strict=True):
        if config.train.sweep:
            raise run_files.RunError(
                f"{folder}: train.sweep: got values; allowed: none on a page, whose "
                "unit is the seed"
            )
    env = runs[0].env
    try:
        dynamic_programming.check_enumerable(env)  # type: ignore[arg-type]
    except (ValueError, AttributeError):
        raise run_files.RunError(
            f"{folders[0]}: got env {env.kind!r}; allowed: an environment whose states "
            "can be enumerated"
        ) from None
    if len(runs) == 2 and runs[1].env != env:
        fields = ", ".join(configs.diff(env, runs[1].env))
        raise run_files.RunError(
            f"{folders[1]}: got an env that differs in {fields}; allowed: two runs in "
            "one environment"
        )
    rules = [_evaluation_acting(config) for config in runs]
    if rules[0] != rules[-1]:
        fields = ", ".join(configs.diff(rules[0]._asdict(), rules[-1]._asdict()))
        raise run_files.RunError(
            f"{folders[1]}: got a run that differs in {fields}; allowed: two runs with "
            "one acting rule and one discount, because they share exact values"
        )
    named = _named(folders, runs, arms)
    files = _snapshots(named, checkpoints)
    sides = tuple(_side(*each, own) for each, own in zip(named, files, strict=True))
    conditions = _conditions(runs[0], mazes)
    return PageInputs(sides, conditions, _mazes(conditions, mazes), rules[0])


def _training_acting(config: Experiment | Training) -> exact_policies.ActingRule:
    train, steps = config.train, config.env.max_steps
    return exact_policies.acting_rule(train.action_selection, train.discount, steps)


def _evaluation_acting(config: Experiment | Training) -> exact_policies.ActingRule:
    if isinstance(config, Experiment):
        return config.evaluation_acting
    return _training_acting(config)


def _named(
    folders: list[Path], runs: list[Any], arms: list[str] | None
) -> list[tuple[Path, Any, str]]:
    """(folder, config, arm) of each side."""
    names = arms or _default_arms(runs)
    if len(runs) == 1:
        sides = [(folders[0], runs[0], name) for name in names[:2]]
    else:
        names = names * 2 if len(names) == 1 else names
        sides = list(zip(folders, runs, names, strict=True))
    for folder, config, name in sides:
        if name not in config.arms:
            raise run_files.RunError(
                f"arms: got {name!r}; allowed in {folder}: {', '.join(config.arms)}"
            )
    return sides


def _default_arms(runs: list[Any]) -> list[str]:
    pairs = []
    for config in runs:
        if isinstance(config, Experiment):
            contrast = config.omnibus.contrast
            pairs.append([contrast.baseline, contrast.arm])
        else:
            trained = [name for name, arm in config.arms.items() if arm.trained]
            pairs.append(trained[:2])
    return pairs[0] if len(runs) == 1 else [pair[-1] for pair in pairs]


def _snapshots(
    named: list[tuple[Path, Any, str]], most: int | None
) -> list[list[Path]]:
    """Snapshot files of each side; of one run, those that both of its sides have."""
    by_side = []
    for folder, _, name in named:
        files = sorted((folder / "snapshots" / name).glob("*.npz"))
        if not files:
            raise run_files.RunError(
                f"{folder / 'snapshots' / name}: no snapshots; an arm that was not "
                "reached is trained by shardsim resume, --arms names others"
            )
        by_side.append(files)
    is_trained = all(config.arms[name].trained for _, config, name in named)
    if len({folder for folder, *_ in named}) == 1 and is_trained:
        # in an unfinished run, one arm has been trained longer than another
        last = min(files[-1].name for files in by_side)
        by_side = [[file for file in files if file.name <= last] for files in by_side]
    return [_thinned(files, most) for files in by_side]


def _thinned(files: list[Path], most: int | None) -> list[Path]:
    if most is None or len(files) <= most:
        return files
    chosen = np.unique(np.linspace(len(files) - 1, 0, most).round().astype(int))
    return [files[i] for i in chosen]


def _side(
    folder: Path, config: Experiment | Training, name: str, files: list[Path]
) -> Side:
    (arm,) = arms.size_arms({name: config.arms[name]}, config.agent, config.env)
    snapshots_read = [run_files.read_arrays(file) for file in files]
    for file, arrays in zip(files, snapshots_read, strict=True):
        counts = {len(leaf) for leaf in arrays.values()}
        if counts != {config.train.population}:
            raise run_files.RunError(
                f"{file}: {', '.join(map(str, sorted(counts)))} seeds; allowed: "
                f"{config.train.population}"
            )
    joined = {
        key: np.concatenate([one[key] for one in snapshots_read])
        for key in snapshots_read[0]
    }
    updates = tuple(int(file.stem) for file in files)
    networks = snapshots.population(
        config.agent, arm.head, arm.width, config.env, joined
    )
    return Side(folder, config, arm, updates, networks)


def _conditions(config: Any, mazes: int) -> dict[str, battery.Condition]:
    """The first conditions of the evaluation; a training has one."""
    if isinstance(config, Experiment):
        all_fields = config.evaluation.conditions
        order = [next(iter(all_fields)), *config.omnibus.conditions, *all_fields]
        fields = {name: all_fields[name] for name in dict.fromkeys(order)}
        levels = config.evaluation
    else:
        fields, levels = {"training": {}}, battery.EvaluationConfig()
    return {
        name: battery.build(
            config.env,
            phases.altered(config.env, changed).params(),
            levels,
            config.train.discount,
        )
        for name, changed in list(fields.items())[: max(mazes, 1)]
    }


def _mazes(conditions: dict[str, battery.Condition], mazes: int) -> tuple[Maze, ...]:
    """The first level of every context, condition by condition, then other levels."""
    queues = []
    for name, condition in conditions.items():
        _, first = np.unique(condition.context[:, 0], axis=0, return_index=True)
        rest = [i for i in range(len(condition.context)) if i not in first]
        queues.append([Maze(name, int(i)) for i in [*sorted(first), *rest]])
    # the training condition shows two levels before any other shows one
    chosen = [queues[0].pop(0) for _ in range(min(2, mazes, len(queues[0])))]
    turn = 1
    while len(chosen) < mazes and any(queues):
        queue = queues[turn % len(queues)]
        if queue:
            chosen.append(queue.pop(0))
        turn += 1
    return tuple(
        sorted(chosen, key=lambda maze: list(conditions).index(maze.condition))
    )
