"""From run folders to the inputs of a page: sides, checkpoints, mazes.

A side is one arm of a run; a page shows one side, or A and B next to each other.
Symbols: N seeds, C checkpoints, M mazes, L levels, S states.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from shardsim.agents import agent as agents
from shardsim.core import config as configs
from shardsim.core import dynamic_programming, field_errors, memory
from shardsim.core.types import Environment
from shardsim.evaluation import battery, exact_policies, film
from shardsim.evaluation import load as evaluation_load
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_files, snapshots, trained
from shardsim.training import arms, phases
from shardsim.training.standalone import Training


@dataclasses.dataclass(frozen=True)
class Side:
    """One arm with its checkpoints."""

    folder: Path
    config: Any
    """An experiment, a training, or what stands for one."""
    arm: arms.Arm
    updates: tuple[int, ...]
    """Update of each of the C checkpoints."""
    networks: agents.Agent | None
    """Of the F checkpoints whose networks are kept, the last one among them. Leaves
    [F * N, ...], seeds fastest. None: an agent of somebody else, which says only what
    it puts out; panels that look inside networks do not apply to it."""
    outputs: dict[int, film.Outputs]
    """By update, the outputs of the other checkpoints in all levels of the page, leaves
    [N, M + L, S, ...]."""

    @property
    def num_seeds(self) -> int:
        """N."""
        return self.config.train.num_seeds

    @property
    def training_acting(self) -> exact_policies.ActingRule:
        """How it acts in training: returns are measured under this rule."""
        return _training_acting(self.config)


@dataclasses.dataclass(frozen=True)
class PageInputs:
    """Everything that a page is computed from."""

    sides: tuple[Side, ...]
    conditions: dict[str, battery.Condition]
    mazes: tuple[film.Maze, ...]
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
      ConfigError: the page would take more than the memory of the machine.
    """
    runs = [evaluation_load.load(folder) for folder in folders]
    for folder, config in zip(folders, runs, strict=True):
        if config.train.sweep:
            raise run_files.RunError(
                f"{folder}: train.sweep: got values; allowed: none on a page, whose "
                "unit is the seed"
            )
    env = runs[0].env
    check_listed(env, folders[0])
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
    files = [_thinned(own, checkpoints) for own in _checkpoints(named)]
    memory.check(_least_bytes(named, [len(own) for own in files], mazes))
    conditions = conditions_of(runs[0], mazes)
    drawn = film.mazes(conditions, mazes)
    levels = _level_ids(runs[0], conditions, drawn)
    sides = tuple(
        _side(*each, own, levels) for each, own in zip(named, files, strict=True)
    )
    return PageInputs(sides, conditions, drawn, rules[0])


def check_listed(env: Any, place: object) -> None:
    """Refuse a world whose states cannot be enumerated.

    Args:
      place: run or agent, for the error.

    Raises:
      RunError: they cannot.
    """
    try:
        dynamic_programming.check_enumerable(env)
    except (ValueError, AttributeError):
        raise run_files.RunError(
            f"{place}: got env {env.kind!r}; allowed: an environment whose states can "
            "be enumerated"
        ) from None


def _least_bytes(
    named: list[tuple[Path, Any, str]], checkpoints: list[int], mazes: int
) -> dict[str, int]:
    """What a page takes at least, in bytes, by the options that decide about it.

    V, D, gates and shard values of every checkpoint and seed in all states of the mazes
    and of the levels of the curves; E's features at the last checkpoint.
    """
    _, first, _ = named[0]
    env = first.env
    levels, conditions = battery.EvaluationConfig().levels, 1
    if isinstance(first, Experiment):
        levels = first.evaluation.levels
        conditions = min(len(first.evaluation.conditions), mazes)
    per_level = 0
    for (_, config, name), count in zip(named, checkpoints, strict=True):
        shards = getattr(config.arms[name].head, "num_shards", 1)
        numbers = count * (1 + env.num_actions + 2 * shards)
        numbers += config.agent.encoder.features
        per_level += 4 * config.train.num_seeds * env.num_states * numbers
    # successor, reward and termination of every action
    exact = conditions * levels * env.num_states * 9 * env.num_actions
    return {
        "mazes": min(mazes, conditions * levels) * per_level + exact,
        "checkpoints": min(film.CURVE_LEVELS, levels) * per_level,
    }


def _training_acting(config: Any) -> exact_policies.ActingRule:
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
                f"arms: got {name!r}; allowed in {folder}: "
                f"{field_errors.one_of(config.arms, name)}"
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


class _Checkpoint(NamedTuple):
    """The file of an arm at one update."""

    update: int
    file: Path


def _checkpoints(named: list[tuple[Path, Any, str]]) -> list[list[_Checkpoint]]:
    """Snapshots and weights of each side; of one run, those that both sides have."""
    by_side = []
    for folder, _, name in named:
        files = {
            update: snapshots.place(folder, name, update)
            for update in snapshots.updates(folder, name)
        }
        ended = trained.read(folder).get(name)
        if ended is not None:
            files[ended.update] = trained.place(folder, name)
        if not files:
            raise run_files.RunError(
                f"{folder / 'snapshots' / name}: no snapshots; an arm that was not "
                "reached is trained by shardsim resume, --arms names others"
            )
        by_side.append([_Checkpoint(*each) for each in sorted(files.items())])
    is_trained = all(config.arms[name].trained for _, config, name in named)
    if len({folder for folder, *_ in named}) == 1 and is_trained:
        # in an unfinished run, one arm has been trained longer than another
        last = min(each[-1].update for each in by_side)
        by_side = [[one for one in each if one.update <= last] for each in by_side]
    return by_side


def _thinned(files: list[_Checkpoint], most: int | None) -> list[_Checkpoint]:
    if most is None or len(files) <= most:
        return files
    chosen = np.unique(np.linspace(len(files) - 1, 0, most).round().astype(int))
    return [files[i] for i in chosen]


def _side(
    folder: Path,
    config: Experiment | Training,
    name: str,
    files: list[_Checkpoint],
    levels: list[str],
) -> Side:
    """Read the checkpoints of a side.

    Args:
      levels: ids of all levels of the page.
    """
    (arm,) = arms.size_arms({name: config.arms[name]}, config.agent, config.env)
    networks, outputs, updates = [], {}, []
    for update, file in files:
        arrays = run_files.read_arrays(file)
        if snapshots.keeps_values(arrays):
            # only a run in an environment of listed states keeps outputs
            num_states = cast(Environment, config.env).num_states
            kept = film.outputs_of(file, arrays, levels, num_states)
            if kept is None:
                continue
            outputs[update] = kept
            _check_seeds(file, len(kept.value), config)
        else:
            for leaf in arrays.values():
                _check_seeds(file, len(leaf), config)
            networks.append(arrays)
        updates.append(update)
    left_out = len(files) - len(updates)
    if left_out:
        print(
            f"shardsim: {folder}: {left_out} checkpoints of {name} are left out: their "
            f"outputs are kept in the levels of the run's own first {film.MOST_MAZES} "
            "mazes alone; train.snapshots full keeps the agents",
            file=sys.stderr,
        )
    joined = {
        key: np.concatenate([one[key] for one in networks]) for key in networks[0]
    }
    population = snapshots.population(
        config.agent, arm.head, arm.width, config.env, joined
    )
    return Side(folder, config, arm, tuple(updates), population, outputs)


def _check_seeds(file: Path, seeds: int, config: Experiment | Training) -> None:
    if seeds != config.train.population:
        raise run_files.RunError(
            f"{file}: {seeds} seeds; allowed: {config.train.population}"
        )


def conditions_of(config: Any, mazes: int) -> dict[str, battery.Condition]:
    """The first conditions of the evaluation; a training has one."""
    fields = _fields(config)
    names = film.conditions(config, mazes) if isinstance(config, Experiment) else fields
    return {
        name: battery.build(
            config.env,
            phases.altered(config.env, fields[name]).params(),
            _evaluation(config),
            config.train.discount,
        )
        for name in names
    }


def _evaluation(config: Any) -> battery.EvaluationConfig:
    """Where agents are evaluated; a training does not say it."""
    if isinstance(config, Experiment):
        return config.evaluation
    return battery.EvaluationConfig()


def _fields(config: Any) -> dict[str, Any]:
    """By condition, the env fields that differ from training."""
    if isinstance(config, Experiment):
        return config.evaluation.conditions
    return {"training": {}}


def _level_ids(
    config: Any, conditions: dict[str, battery.Condition], drawn: tuple[film.Maze, ...]
) -> list[str]:
    """Ids of the mazes, then of the levels of the curves, as `forward.levels_of`."""
    first, condition = next(iter(conditions.items()))
    count = min(film.CURVE_LEVELS, len(condition.optimal))
    levels = (*drawn, *(film.Maze(first, level) for level in range(count)))
    return film.level_ids(_evaluation(config), _fields(config), levels)
