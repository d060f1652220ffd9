"""Maps over the boards of a few levels, as the report draws them.

maps.json holds what lies in each level, maps.npz the arrays of the same levels: those
of a level are named `CONDITION/LEVEL/FIELD` and those of an arm
`ARM/CONDITION/LEVEL/FIELD`. The first seed is drawn; numbers over all seeds are in
results.json. Symbols: S states, A actions, K shards, H, W the board.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation import battery, exact_policies, measures, state_readings
from shardsim.storage import records, run_files

SHOWN = 2
"""Levels drawn of each condition."""


@fields.record(float64=True)
class Scene:
    """What lies in a level."""

    condition: str
    level: int
    """Index of the level in the condition."""
    context: tuple[int, ...]
    """Indices of the contexts that are shown."""
    glyphs: dict[str, tuple[int, int]]
    """Name of a thing -> its row and column."""


@fields.record(float64=True)
class Scenes:
    """maps.json: what is drawn."""

    arms: tuple[str, ...]
    """Whose maps there are; `exact` is V* under a uniform D."""
    levels: tuple[Scene, ...]


@dataclasses.dataclass(frozen=True)
class ArmMaps:
    """What one arm makes of a level, cell by cell."""

    value: Float[np.ndarray, "H W"]
    policy: Float[np.ndarray, "H W A"]
    """Probabilities of the actions."""
    move: Float[np.ndarray, "H W 2"]
    """Rows and columns that the policy goes on average."""
    gates: Float[np.ndarray, "H W K"]
    shard_values: Float[np.ndarray, "H W K"]


@dataclasses.dataclass(frozen=True)
class LevelMaps:
    """A level that is drawn, with what every arm makes of it."""

    scene: Scene
    walls: Bool[np.ndarray, "H W"]
    optimal: Float[np.ndarray, "H W"]
    """V*."""
    reachable: Bool[np.ndarray, "H W"]
    arms: dict[str, ArmMaps]
    """Arm -> its maps."""


ARRAYS = ("walls", "optimal", "reachable")
"""Fields of a level that are arrays."""


def read(folder: Path) -> tuple[LevelMaps, ...]:
    """The levels of a run that are drawn.

    Raises:
      RunError: maps.json or maps.npz is missing or damaged, or an array is missing.
    """
    scenes = records.read(folder / "maps.json", Scenes)
    path = folder / "maps.npz"
    arrays = run_files.read_arrays(path)
    if not scenes.levels:
        raise run_files.RunError(f"{folder / 'maps.json'}: levels: got none")
    try:
        return tuple(_level(scene, scenes.arms, arrays) for scene in scenes.levels)
    except KeyError as error:
        raise run_files.RunError(f"{path}: {error.args[0]} is missing") from None


def _level(
    scene: Scene, arms: tuple[str, ...], arrays: Mapping[str, np.ndarray]
) -> LevelMaps:
    place = _place(scene)
    names = [field.name for field in dataclasses.fields(ArmMaps)]
    return LevelMaps(
        scene=scene,
        walls=arrays[f"{place}/walls"],
        optimal=arrays[f"{place}/optimal"],
        reachable=arrays[f"{place}/reachable"],
        arms={
            arm: ArmMaps(*(arrays[f"{arm}/{place}/{name}"] for name in names))
            for arm in arms
        },
    )


def write(folder: Path, levels: tuple[LevelMaps, ...]) -> None:
    """Write maps.npz and maps.json."""
    arrays: dict[str, np.ndarray] = {}
    for level in levels:
        place = _place(level.scene)
        arrays |= {f"{place}/{name}": getattr(level, name) for name in ARRAYS}
        for arm, maps in level.arms.items():
            arrays |= {f"{arm}/{place}/{name}": x for name, x in vars(maps).items()}
    run_files.write_arrays(folder / "maps.npz", arrays)
    scenes = Scenes(tuple(levels[0].arms), tuple(level.scene for level in levels))
    records.write(folder / "maps.json", scenes)


def _place(scene: Scene) -> str:
    return f"{scene.condition}/{scene.level}"


def draw(evidence: measures.Evidence, names: tuple[str, ...]) -> tuple[LevelMaps, ...]:
    """The maps of the first levels of some conditions."""
    return tuple(
        _draw(evidence, name, index)
        for name in names
        for index in _shown(evidence.conditions[name].context[:, 0])
    )


def _draw(evidence: measures.Evidence, name: str, index: int) -> LevelMaps:
    condition, env = evidence.conditions[name], evidence.env
    level = jax.tree.map(lambda leaf: leaf[index], condition.levels)
    walls = np.asarray(env.walls(level))
    position = np.asarray(battery.positions(env, condition.levels))[index]
    cells = battery.first_states(position, walls.shape, np.arange(len(position)))
    cells = np.maximum(cells, 0)  # walls cover what is drawn on them
    moves = _moves(evidence, level, condition.params)
    glyphs = {
        thing: (int(row), int(column))
        for thing, (row, column) in env.glyphs(level).items()
    }
    context = tuple(np.flatnonzero(condition.context[index, 0]).tolist())
    return LevelMaps(
        scene=Scene(name, index, context, glyphs),
        walls=walls,
        optimal=condition.optimal[index][cells],
        reachable=condition.reachable[index][cells],
        arms={
            arm: _arm(readings[name], condition, evidence, index, moves, cells)
            for arm, readings in evidence.readings.items()
        },
    )


def _shown(contexts: Float[np.ndarray, "L C"]) -> list[int]:
    """The first level of every context, then others, in order."""
    _, first = np.unique(contexts, axis=0, return_index=True)
    rest = [i for i in range(len(contexts)) if i not in first]
    return sorted([*sorted(first.tolist()), *rest][:SHOWN])


def _moves(evidence: measures.Evidence, level: Any, params: Any) -> np.ndarray:
    """[S, A, 2]: rows and columns by which each action moves the agent."""
    env, key = evidence.env, jax.random.key(0)

    def move(state: Any, action: jax.Array) -> jax.Array:
        after = env.step(key, state, action, params).state
        return env.position(after) - env.position(state)

    actions = jnp.arange(env.num_actions)
    each = jax.vmap(jax.vmap(move, in_axes=(None, 0)), in_axes=(0, None))
    return np.asarray(jit(each)(env.states(level), actions))


def _arm(
    reading: state_readings.Reading,
    condition: battery.Condition,
    evidence: measures.Evidence,
    index: int,
    moves: np.ndarray,
    cells: np.ndarray,
) -> ArmMaps:
    chosen = exact_policies.policy(
        reading.value, reading.policy_logits, condition, evidence.acting
    )
    policy = chosen[0, index]
    return ArmMaps(
        value=reading.value[0, index][cells],
        policy=policy[cells],
        move=np.einsum("sa,sad->sd", policy, moves)[cells],
        gates=reading.gates[0, index][cells],
        shard_values=reading.shard_values[0, index][cells],
    )
