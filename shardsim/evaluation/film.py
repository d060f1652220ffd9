"""The film: outputs of all seeds at the updates before the last, as a page shows them.

A page draws some mazes at every snapshot, and averages curves over the first levels of
the first condition. It needs E, D and V themselves at the last snapshot alone. So a
finished experiment keeps, of each earlier one, what the agents put out in the states of
these levels; that takes less space than their weights in worlds of few states.

Symbols: N seeds, L levels, S states of a level, P kept states of all levels together,
A actions, K shards.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from shardsim.agents import agent as agents
from shardsim.core import config as configs
from shardsim.core import json_text
from shardsim.evaluation import battery, snapshot_metrics, state_readings
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import file_list, run_files, snapshots, trained
from shardsim.training import arms, parts, schedule

CURVE_LEVELS = 16
"""Levels of the first condition over which curves of training are averaged."""
MOST_MAZES = 8
"""Mazes that a page can draw at updates whose outputs alone are kept."""


class Maze(NamedTuple):
    """A level that a page draws."""

    condition: str
    level: int
    """Its index in the condition."""


class Outputs(NamedTuple):
    """Outputs of the agents in all states of some levels."""

    value: Float[np.ndarray, "*N L S"]
    log_decoder: Float[np.ndarray, "*N L S A"]
    """Log-probabilities of D."""
    gates: Float[np.ndarray, "*N L S K"]
    shard_values: Float[np.ndarray, "*N L S K"]


def conditions(experiment: Experiment, mazes: int) -> tuple[str, ...]:
    """Names of the conditions that a page draws mazes of: the first ones asked about.

    Args:
      mazes: number of mazes.
    """
    every = experiment.evaluation.conditions
    order = (next(iter(every)), *experiment.omnibus.conditions, *every)
    return tuple(dict.fromkeys(order))[: max(mazes, 1)]


def mazes(conditions: Mapping[str, battery.Condition], number: int) -> tuple[Maze, ...]:
    """The first level of every context, condition by condition, then other levels.

    Fewer mazes are the first of more.

    Args:
      conditions: in the order of `conditions`.
      number: of mazes.
    """
    queues = []
    for name, condition in conditions.items():
        _, first = np.unique(condition.context[:, 0], axis=0, return_index=True)
        rest = [i for i in range(len(condition.context)) if i not in first]
        queues.append([Maze(name, int(i)) for i in [*sorted(first), *rest]])
    # the training condition shows two levels before any other shows one
    chosen = [queues[0].pop(0) for _ in range(min(2, number, len(queues[0])))]
    turn = 1
    while len(chosen) < number and any(queues):
        queue = queues[turn % len(queues)]
        if queue:
            chosen.append(queue.pop(0))
        turn += 1
    return tuple(
        sorted(chosen, key=lambda maze: list(conditions).index(maze.condition))
    )


def level_ids(
    evaluation: battery.EvaluationConfig,
    fields: Mapping[str, Mapping[str, Any]],
    mazes: Sequence[Maze],
) -> list[str]:
    """What each level follows from, as JSON; the same in every run that has the level.

    Args:
      fields: by condition, the env fields that differ from training.
    """
    seed, count = evaluation.seed, evaluation.levels
    return [
        json_text.dumps(
            [seed, count, maze.level, configs.to_dict(fields[maze.condition])]
        )
        for maze in mazes
    ]


def finish(
    experiment: Experiment, conditions: dict[str, battery.Condition], folder: Path
) -> None:
    """Keep the outputs in place of E, D and V in the snapshots of a finished run.

    It does so where the config says it, no prediction reads the agents of the update,
    and the outputs take less space. It may be called again after it was interrupted.
    What a run has kept once stays: its config may be edited and judged again.

    Args:
      conditions: all conditions of the evaluation.
      folder: run folder, in which all arms are trained.
    """
    if experiment.train.snapshots == "full":
        return
    ends = schedule.ends(experiment.train)
    kept = {ends[phase] for phase in experiment.phases_to_read()}
    levels = _Levels.of(experiment, conditions)
    for arm in experiment.sized_arms():
        last = trained.read(folder)[arm.name].update
        for update in snapshots.updates(folder, arm.name):
            path = snapshots.place(folder, arm.name, update)
            if update in {last, *kept} or not file_list.wrote(folder, path):
                continue
            if snapshots.is_final(path):
                continue
            arrays = run_files.read_arrays(path)
            outputs = levels.outputs(experiment, arm, arrays)
            if _size(outputs) < _size(arrays):
                snapshots.write_values(path, outputs)


def kept(experiment: Experiment) -> parts.Kept:
    """How a finished run keeps a snapshot as outputs, to join it with new seeds."""

    @functools.cache
    def levels() -> _Levels:
        names = experiment.evaluation.conditions
        every = {name: snapshot_metrics.condition(experiment, name) for name in names}
        return _Levels.of(experiment, every)

    sized = {arm.name: arm for arm in experiment.sized_arms()}

    def outputs(arm: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return levels().outputs(experiment, sized[arm], arrays)

    return parts.Kept(outputs, frozenset(Outputs._fields))


def _size(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())


class _Levels(NamedTuple):
    """The levels of a film, and the states of them that are kept."""

    ids: list[str]
    """[L] what each level follows from."""
    levels: Any
    """Leaves [L, ...]; the last ones are repeated to fill whole batches."""
    batch: int
    """Levels of a call: as many as a condition has, whose program is compiled."""
    level: Int[np.ndarray, " P"]
    """Index of the level of each kept state."""
    state: Int[np.ndarray, " P"]
    """Number of the state in its level."""

    @classmethod
    def of(
        cls, experiment: Experiment, every: dict[str, battery.Condition]
    ) -> "_Levels":
        names = conditions(experiment, MOST_MAZES)
        first, batch = names[0], experiment.evaluation.levels
        drawn = mazes({name: every[name] for name in names}, MOST_MAZES)
        curves = [Maze(first, i) for i in range(min(CURVE_LEVELS, batch))]
        chosen = tuple(dict.fromkeys((*curves, *drawn)))
        filled = math.ceil(len(chosen) / batch) * batch
        repeated = [chosen[min(i, len(chosen) - 1)] for i in range(filled)]
        picked = [
            jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], every[name].levels)
            for name, i in repeated
        ]
        levels = jax.tree.map(lambda *leaves: np.stack(leaves), *picked)
        places = [_kept(every[name], i) for name, i in chosen]
        level = np.repeat(np.arange(len(chosen)), [len(states) for states in places])
        fields = experiment.evaluation.conditions
        ids = level_ids(experiment.evaluation, fields, chosen)
        return cls(ids, levels, batch, level, np.concatenate(places))

    def outputs(
        self, experiment: Experiment, arm: arms.Arm, arrays: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """What the agents of a snapshot put out in the kept states, by name."""
        population = snapshots.population(
            experiment.agent, arm.head, arm.width, experiment.env, arrays
        )
        batches = []
        for start in range(0, len(jax.tree.leaves(self.levels)[0]), self.batch):
            part = jax.tree.map(
                lambda leaf, at=start: leaf[at : at + self.batch], self.levels
            )
            batches.append(_read(experiment, population, part))
        outputs = Outputs(
            *(np.concatenate(x, axis=1) for x in zip(*batches, strict=True))
        )
        return {
            LEVELS: np.asarray(self.ids),
            LEVEL: self.level.astype(np.int32),
            STATE: self.state.astype(np.int32),
            **{
                name: leaf[:, self.level, self.state]
                for name, leaf in outputs._asdict().items()
            },
        }


LEVELS, LEVEL, STATE = "levels", "level", "state"
"""Names of arrays in a film: the levels by their ids, and of each kept state the index
in that list and its number. The others are those of `Outputs`, leaves [N, P, ...]."""


def _read(experiment: Experiment, population: agents.Agent, levels: Any) -> Outputs:
    value, policy_logits = state_readings.evaluate(experiment.env, population, levels)
    return Outputs(
        *map(np.asarray, (value.value, policy_logits, value.gates, value.shard_values))
    )


def _kept(condition: battery.Condition, level: int) -> Int[np.ndarray, " states"]:
    """States of a level that an episode can be in or end in."""
    reachable = condition.reachable[level]
    successors = np.asarray(condition.table.successor)[level][reachable]
    return np.union1d(np.flatnonzero(reachable), successors)


def outputs_of(
    path: Path, arrays: Mapping[str, np.ndarray], ids: Sequence[str], states: int
) -> Outputs | None:
    """The outputs that a film has in some levels; 0 in states that it does not keep.

    Args:
      path: named in error texts.
      arrays: contents of the file.
      ids: [L] the levels.
      states: S.

    Returns:
      None if the film does not have all of the levels.

    Raises:
      RunError: the file is damaged.
    """
    try:
        known = arrays[LEVELS].tolist()
        if not set(ids) <= set(known):
            return None
        level, state = arrays[LEVEL], arrays[STATE]
        leaves = []
        for name in Outputs._fields:
            kept = arrays[name]
            rows = np.zeros(
                (len(kept), len(known), states, *kept.shape[2:]), kept.dtype
            )
            rows[:, level, state] = kept
            leaves.append(rows[:, [known.index(each) for each in ids]])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise run_files.RunError(f"{path}: damaged ({error})") from None
    return Outputs(*leaves)
