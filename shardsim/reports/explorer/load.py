"""From run folders to what the page is about: sides, checkpoints, mazes.

A side is an arm of a run: A and B stand beside each other. Symbols: N seeds, C
checkpoints, M mazes, L levels, S states.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shardsim.agents import agent as agents
from shardsim.core import config as configs
from shardsim.core import dynamic_programming
from shardsim.evaluation import battery, load
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_folder, snapshots
from shardsim.training import arms, phases
from shardsim.training.arms import size_arms
from shardsim.training.standalone import Training

MOST_LEVELS = 16
"""Levels of the first condition over which the curves of training are means."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One architecture of the page."""

    folder: Path
    config: Experiment | Training
    arm: arms.Arm
    updates: tuple[int, ...]
    """Of each checkpoint, C of them."""
    networks: agents.Agent
    """Leaves [C * N, ...], seeds fastest."""

    @property
    def seeds(self) -> int:
        return self.config.train.num_seeds

    @property
    def acts(self) -> battery.ActingRule:
        """How it acts in training: returns are of it."""
        return _acts(self.config)


class Maze(NamedTuple):
    """A level that is drawn."""

    condition: str
    level: int
    """Its place in the condition."""


@dataclasses.dataclass(frozen=True)
class Gathered:
    """All that the page is made from."""

    sides: tuple[Side, ...]
    conditions: dict[str, battery.Condition]
    mazes: tuple[Maze, ...]
    how: battery.ActingRule
    """How both are looked at acting."""

    @property
    def world(self) -> Any:
        return self.sides[0].config.env

    @property
    def first(self) -> battery.Condition:
        """The condition in which both were trained."""
        return next(iter(self.conditions.values()))


def gather(
    folders: list[Path],
    arms: list[str] | None,
    mazes: int,
    checkpoints: int | None,
) -> Gathered:
    """Read one or two runs.

    Args:
      arms: one or two names; None takes the contrast of the omnibus (one run), or the
        arm that it is about (of each of two runs), or the first arms there are.
      mazes: M.
      checkpoints: the most that are shown, the last among them; None shows all.

    Raises:
      RunError: an arm or a snapshot that is not there, a grid, worlds that differ or
        whose states can't be listed.
    """
    found = [load.load(folder) for folder in folders]
    for folder, config in zip(folders, found, strict=True):
        if config.train.sweep:
            raise run_folder.RunError(
                f"{folder}: train.sweep: got values; allowed: none on a page, whose "
                "unit is the seed"
            )
    world = found[0].env
    try:
        dynamic_programming.check_enumerable(world)  # type: ignore[arg-type]
    except (ValueError, AttributeError):
        raise run_folder.RunError(
            f"{folders[0]}: got world {world.kind!r}; allowed: a world whose states "
            "can be listed"
        ) from None
    if len(found) == 2 and found[1].env != world:
        differ = ", ".join(configs.diff(world, found[1].env))
        raise run_folder.RunError(
            f"{folders[1]}: got a world that differs in {differ}; allowed: two runs in "
            "one world"
        )
    hows = [_how(config) for config in found]
    if hows[0] != hows[-1]:
        differ = ", ".join(configs.diff(hows[0]._asdict(), hows[-1]._asdict()))
        raise run_folder.RunError(
            f"{folders[1]}: got a run that differs in {differ}; allowed: two runs that "
            "act alike, with one discount, for exact values are shared"
        )
    named = _named(folders, found, arms)
    files = _files(named, checkpoints)
    sides = tuple(_side(*each, kept) for each, kept in zip(named, files, strict=True))
    conditions, how = _conditions(found[0], mazes), hows[0]
    return Gathered(sides, conditions, _mazes(conditions, mazes), how)


def _acts(config: Experiment | Training) -> battery.ActingRule:
    train, steps = config.train, config.env.max_steps
    return battery.acting_rule(train.action_selection, train.discount, steps)


def _how(config: Experiment | Training) -> battery.ActingRule:
    return config.evaluation_acting if isinstance(config, Experiment) else _acts(config)


def _named(
    folders: list[Path], found: list[Any], arms: list[str] | None
) -> list[tuple[Path, Any, str]]:
    """(folder, config, arm) of each side."""
    wanted = arms or _usual(found)
    if len(found) == 1:
        pairs = [(folders[0], found[0], name) for name in wanted[:2]]
    else:
        wanted = wanted * 2 if len(wanted) == 1 else wanted
        pairs = list(zip(folders, found, wanted, strict=True))
    for folder, config, name in pairs:
        if name not in config.arms:
            raise run_folder.RunError(
                f"arms: got {name!r}; allowed in {folder}: {', '.join(config.arms)}"
            )
    return pairs


def _usual(found: list[Any]) -> list[str]:
    names = []
    for config in found:
        if isinstance(config, Experiment):
            contrast = config.omnibus.contrast
            pair = [contrast.baseline, contrast.arm]
        else:
            trained = [name for name, arm in config.arms.items() if arm.trained]
            pair = trained[:2]
        names.append(pair)
    return names[0] if len(found) == 1 else [pair[-1] for pair in names]


def _files(named: list[tuple[Path, Any, str]], most: int | None) -> list[list[Path]]:
    """The snapshots of each side; of one run those that all of its sides have."""
    found = []
    for folder, _, name in named:
        files = sorted((folder / "snapshots" / name).glob("*.npz"))
        if not files:
            raise run_folder.RunError(
                f"{folder / 'snapshots' / name}: no snapshot to look at; an arm that "
                "was not reached is trained by shardsim resume, --arms names others"
            )
        found.append(files)
    trained = all(config.arms[name].trained for _, config, name in named)
    if len({folder for folder, *_ in named}) == 1 and trained:
        # of a run that is unfinished one arm is further than another
        last = min(files[-1].name for files in found)
        found = [[file for file in files if file.name <= last] for files in found]
    return [_thinned(files, most) for files in found]


def _thinned(files: list[Path], most: int | None) -> list[Path]:
    if most is None or len(files) <= most:
        return files
    kept = np.unique(np.linspace(len(files) - 1, 0, most).round().astype(int))
    return [files[i] for i in kept]


def _side(
    folder: Path, config: Experiment | Training, name: str, files: list[Path]
) -> Side:
    (arm,) = size_arms({name: config.arms[name]}, config.agent, config.env)
    read = [run_folder.read_arrays(file) for file in files]
    for file, arrays in zip(files, read, strict=True):
        counts = {len(leaf) for leaf in arrays.values()}
        if counts != {config.train.population}:
            raise run_folder.RunError(
                f"{file}: {', '.join(map(str, sorted(counts)))} seeds; allowed: "
                f"{config.train.population}"
            )
    joined = {key: np.concatenate([one[key] for one in read]) for key in read[0]}
    updates = tuple(int(file.stem) for file in files)
    networks = snapshots.population(
        config.agent, arm.head, arm.width, config.env, joined
    )
    return Side(folder, config, arm, updates, networks)


def _conditions(config: Any, mazes: int) -> dict[str, battery.Condition]:
    """The first conditions of the battery; training alone has one."""
    if isinstance(config, Experiment):
        wanted = config.evaluation.conditions
        told = config.omnibus.conditions
        order = [next(iter(wanted)), *told, *wanted]
        fields = {name: wanted[name] for name in dict.fromkeys(order)}
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
    """The first level of every context, condition by condition, then others."""
    queues = []
    for name, condition in conditions.items():
        _, first = np.unique(condition.context[:, 0], axis=0, return_index=True)
        rest = [i for i in range(len(condition.context)) if i not in first]
        queues.append([Maze(name, int(i)) for i in [*sorted(first), *rest]])
    # training shows two of its levels before any other condition shows one
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
