"""Train the agents of all histories: a tree whose nodes are words of events.

A node goes on from the state of the word without its last event, so nothing is trained
twice. All nodes of one length, of all seeds, are rows of one program, in which every
row has an environment of its own. The keys of an update depend on the seed and the
number of the update alone, so an agent is the same whatever else the contest has.

Every row is on disk when its event is over: a contest that was stopped goes on from
there with the same bits.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from shardsim.agents import agent as agents
from shardsim.algorithms import update_step
from shardsim.contest import config as contests
from shardsim.contest import folder, histories
from shardsim.core import backends
from shardsim.storage import run_files, snapshots, weights
from shardsim.training import divergence, phases, population, schedule
from shardsim.training.arms import Arm
from shardsim.training.config import TrainConfig
from shardsim.training.phases import Phase
from shardsim_envs import ContextFruits

LOG = logging.getLogger(__name__)
Advance = Callable[[str], None]
T = TypeVar("T")

ROWS, ROWS_TOGETHER = 64, 512
"""Rows of a block: where they train one after another, and where they do together."""
NOTHING: histories.Word = ()
"""The word without events: an agent before its history."""


class Row(NamedTuple):
    """One agent of an arm, at the end of a word."""

    word: histories.Word
    seed: int


def count(contest: contests.Contest, seeds: Sequence[int]) -> int:
    """Number of rows that `train` reports, those that are on disk too."""
    trained = sum(arm.trained for arm in contest.sized_arms())
    nodes = sum(map(len, histories.nodes(contest.words)))
    return len(seeds) * (len(contest.arms) + trained * nodes)


def train(
    contest: contests.Contest,
    path: Path,
    seeds: Sequence[int],
    advance: Advance = lambda done: None,
) -> None:
    """Train what is missing of the agents of some seeds.

    Args:
      path: folder of the contest, which `folder.opened` has made.
      seeds: numbers of the training seeds.
      advance: called for every row that is over.

    Raises:
      Diverged: a loss was not finite; the rows before it are on disk.
    """
    shared: dict[agents.AgentConfig, update_step.TrainState] = {}
    for arm in contest.sized_arms():
        _Tree(contest, path, arm, seeds, advance, shared).grow()


class _Tree:
    """The words of one arm."""

    def __init__(
        self,
        contest: contests.Contest,
        path: Path,
        arm: Arm,
        seeds: Sequence[int],
        advance: Advance,
        shared: dict[agents.AgentConfig, update_step.TrainState],
    ) -> None:
        """Prepare; nothing is trained.

        Args:
          shared: states after the phases that do not involve V, by the config of the
            agents, which this arm fills or goes on from.
        """
        self.contest = contest
        self.path = path
        self.arm = arm
        self.agent = contest.agent_of(arm.name)
        self.train = contest.train
        self.seeds = seeds
        self.advance = advance
        self.shared = shared
        self.wanted = set(contest.words) if arm.trained else {NOTHING}
        longer = histories.nodes(contest.words) if arm.trained else ()
        self.levels = ((NOTHING,), *longer)

    def grow(self) -> None:
        """Train all rows that are missing, shorter words first."""
        missing = self._missing()
        parents = {_parent(row) for row in missing if row.word}
        for level in self.levels:
            rows = [Row(word, seed) for word in level for seed in self.seeds]
            for row in rows:
                if row not in missing:
                    self.advance(_describe(self.arm, row))
            todo = [row for row in rows if row in missing]
            if not todo:
                continue
            if level == (NOTHING,):
                self._save(todo, self._start(todo), parents)
            for block in _blocks(todo) if level != (NOTHING,) else ():
                self._save(block, self._event(block), parents)

    def _missing(self) -> set[Row]:
        """Rows that are not on disk, and those that they have to go on from."""
        missing: set[Row] = set()
        parents: set[Row] = set()
        for level in reversed(self.levels):
            for row in (Row(word, seed) for word in level for seed in self.seeds):
                is_missing = row.word in self.wanted and not self._weights(row).exists()
                if is_missing or (row in parents and not self._state(row).exists()):
                    missing.add(row)
                    parents |= {_parent(row)} if row.word else set()
        return missing

    def _weights(self, row: Row) -> Path:
        return folder.weights(self.path, self.arm.name, row.word, row.seed)

    def _state(self, row: Row) -> Path:
        return folder.state(self.path, self.arm.name, row.word, row.seed)

    @functools.cached_property
    def _init_config(self) -> population.InitConfig:
        config = schedule.init_config(self.train, self.agent, self.contest.env)
        return config._replace(devices=1)

    def _init_arguments(self, seeds: Sequence[int]) -> tuple[Any, ...]:
        keys = population.seed_keys(self.train.seed, max(self.seeds) + 1)
        phases_before = (*self.contest.pretraining, self.contest.event)
        params = phases.params_of(self.contest.env, phases_before[0])
        hyper = schedule.hyperparameters(self.train, self.arm.head)
        # they are the same for all seeds
        hyper = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], len(seeds)), hyper)
        arm, own = self.arm, keys[np.asarray(seeds)]
        return self._init_config, arm.head, arm.width, params, own, hyper

    def _start(self, rows: list[Row]) -> update_step.TrainState:
        """Agents before every history, each a row."""
        LOG.info("%s: before the histories", self.arm.name)
        arguments = self._init_arguments([row.seed for row in rows])
        *_, keys, hyper = arguments
        worlds = [self.contest.env] * len(rows)
        first = _phases_before_v(self.contest)
        if self.agent not in self.shared:
            state = _to_host(population.init(*arguments))
            for phase in self.contest.pretraining[:first]:
                state = self._phase(phase, state, worlds, rows)
            self.shared[self.agent] = state
        heads = population.heads(
            self._init_config, (self.arm.head,), (self.arm.width,), keys
        )
        shared = _to_device(self.shared[self.agent])
        state = population.with_fresh_heads(shared, heads, (hyper,))
        if self.arm.readout == "random":
            state = population.with_random_readout(state, keys)
        state = _to_host(state)
        for phase in self.contest.pretraining[first:] if self.arm.trained else ():
            state = self._phase(phase, state, worlds, rows)
        return state

    def _event(self, rows: list[Row]) -> update_step.TrainState:
        """The agents of some rows after their last event."""
        LOG.info("%s: %d agents, event %d", self.arm.name, len(rows), len(rows[0].word))
        state = self._read([_parent(row) for row in rows])
        worlds = [self.contest.world_of(row.word[-1]) for row in rows]
        return self._phase(self.contest.event, state, worlds, rows)

    def _read(self, rows: list[Row]) -> update_step.TrainState:
        like = population.init.shapes(*self._init_arguments([0]))
        leaves, structure = jax.tree.flatten(like)
        found = [folder.read_leaves(self._state(row)) for row in rows]
        if any(len(each) != len(leaves) for each in found):
            raise run_files.RunError(
                f"{self._state(rows[0])}: damaged, or of another version of shardsim"
            )
        stacked = [np.stack(column) for column in zip(*found, strict=True)]
        state: update_step.TrainState = jax.tree.unflatten(structure, stacked)
        return state

    def _phase(
        self,
        phase: Phase,
        state: update_step.TrainState,
        worlds: list[ContextFruits],
        rows: list[Row],
    ) -> update_step.TrainState:
        """Train rows for a phase, each in a world of its own, block by block.

        Raises:
          Diverged: a loss was not finite.
        """
        params = [phases.params_of(world, phase) for world in worlds]
        by_row = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
        view = schedule.training_view(self.agent, self.contest.env, phase)
        config = schedule.update_config(self.train, view, (self.arm.head,), phase)
        done = []
        for block in _blocks(list(range(len(rows)))):
            part = slice(block[0], block[-1] + 1)
            taken = jax.tree.map(lambda leaf, part=part: leaf[part], (state, by_row))
            done.append(_advance(config, self.train, phase, *taken))
        state = jax.tree.map(lambda *leaves: np.concatenate(leaves), *done)
        _raise_if_diverged(self.arm, rows, np.asarray(state.failed)[:, 0])
        return state

    def _save(
        self, rows: list[Row], state: update_step.TrainState, parents: set[Row]
    ) -> None:
        """Write the weights of agents, and the states that others go on from."""
        leaves = jax.tree.leaves(state)
        arrays = weights.of_agent(state.learners[0].agent)
        for number, row in enumerate(rows):
            # the weights last: who has them needs no state to be trained again
            if row in parents:
                folder.write_leaves(
                    self._state(row), [np.asarray(leaf[number]) for leaf in leaves]
                )
            if row.word in self.wanted and not self._weights(row).exists():
                own = {name: array[number] for name, array in arrays.items()}
                run_files.write_arrays(self._weights(row), own)
            self.advance(_describe(self.arm, row))


def _advance(
    config: update_step.UpdateConfig,
    train: TrainConfig,
    phase: Phase,
    state: update_step.TrainState,
    params: Any,
) -> update_step.TrainState:
    """Train the rows of a block; the devices take them in turn.

    Args:
      state: on the host, leaves [N, ...].
      params: of the environments, leaves [N, ...].
    """
    devices = _devices(train)
    rows = len(state.failed)
    slots = -(-_rows_of_block() // devices)
    # row n is in slot n // devices of device n % devices; free slots repeat row 0
    numbers = np.arange(devices * slots)
    place = ((numbers % devices) * slots + numbers // devices)[:rows]
    order = np.zeros_like(numbers)
    order[place] = np.arange(rows)
    active = np.asarray([len(range(d, rows, devices)) for d in range(devices)])
    config = config._replace(devices=devices)
    taken, by_row = jax.tree.map(lambda leaf: leaf[order], (state, params))
    taken = _to_device(taken)
    if phase.reset_envs:
        states = population.restart_each(
            config.env, train.num_envs, by_row, taken.key, taken.update
        )
        taken = taken._replace(states=states)
    inputs = update_step.PhaseInputs(by_row)
    taken, inputs, active = _spread(devices, (taken, inputs, active))
    left = phase.updates
    while left:
        some = min(left, train.updates_per_call)
        taken, _ = population.chunk_each(config, taken, inputs, jnp.int32(some), active)
        left -= some
    return jax.tree.map(lambda leaf: leaf[place], _to_host(taken))


def _devices(train: TrainConfig) -> int:
    """Devices that the rows of a block are spread over."""
    return jax.local_device_count() if train.devices == "auto" else train.devices


def _rows_of_block() -> int:
    return ROWS_TOGETHER if backends.choices().seeds_together else ROWS


def _blocks(rows: list[T]) -> Iterator[list[T]]:
    size = _rows_of_block()
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _spread(devices: int, tree: Any) -> Any:
    """Leaves [N, ...] spread over the devices."""
    if devices == 1:
        return tree
    spread = NamedSharding(population.mesh(devices), PartitionSpec("seed"))
    return jax.device_put(tree, spread)


def _phases_before_v(contest: contests.Contest) -> int:
    """Number of the phases before every history that do not involve V."""
    return min(schedule.shared_phases(contest.train), len(contest.pretraining))


def _parent(row: Row) -> Row:
    return Row(row.word[:-1], row.seed)


def _describe(arm: Arm, row: Row) -> str:
    return f"{arm.name}, seed {row.seed}: {histories.name_of(row.word) or 'start'}"


def _to_host(state: update_step.TrainState) -> update_step.TrainState:
    """A state as NumPy arrays; its keys become whole numbers."""
    raw = state._replace(key=jax.random.key_data(state.key))
    host: update_step.TrainState = jax.tree.map(np.asarray, raw)
    return host


def _to_device(state: update_step.TrainState) -> update_step.TrainState:
    """The reverse of `_to_host`."""
    on_device: update_step.TrainState = jax.tree.map(jnp.asarray, state)
    return on_device._replace(key=jax.random.wrap_key_data(on_device.key))


def _raise_if_diverged(arm: Arm, rows: list[Row], failed: np.ndarray) -> None:
    for row, update in zip(rows, failed.tolist(), strict=True):
        if update >= 0:
            raise divergence.Diverged(
                f"loss not finite: {_describe(arm, row)}, update {update}; the agents "
                "before it are on disk"
            )


def read(
    contest: contests.Contest, path: Path, arm: Arm, word: histories.Word, seeds: int
) -> agents.Agent:
    """The agents of all seeds of an arm after a history, leaves [N, ...].

    Args:
      path: folder of the contest.
      seeds: N, number of seeds.

    Raises:
      RunError: a file is missing or damaged.
    """
    place = word if arm.trained else NOTHING
    each = [
        run_files.read_arrays(folder.weights(path, arm.name, place, seed))
        for seed in range(seeds)
    ]
    stacked = {name: np.stack([one[name] for one in each]) for name in each[0]}
    return snapshots.population(
        contest.agent_of(arm.name), arm.head, arm.width, contest.env, stacked
    )
