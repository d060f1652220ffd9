"""Maps over the board of a few levels, as the report draws them.

maps.npz holds, for each shown level `CONDITION/i`: `walls`, `optimal`, `reachable`
[H, W]; and below `ARM/CONDITION/i`: `value` [H, W], `policy` [H, W, A], `move`
[H, W, 2] (rows and columns that the policy goes on average), `gates` and `parts`
[H, W, K]. maps.json lists the levels with what lies in them. One seed, the
first, is drawn; numbers over all seeds are in results.json.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shardsim.core.jit import jit
from shardsim.evaluation import battery, measures
from shardsim.storage import run_folder

SHOWN = 2
"""Levels drawn of each condition."""


def save(folder: Path, evidence: measures.Evidence, names: tuple[str, ...]) -> None:
    """Write maps.npz and maps.json for the first levels of some conditions."""
    arrays: dict[str, np.ndarray] = {}
    listed: list[dict[str, Any]] = []
    for name in names:
        condition = evidence.conditions[name]
        positions = np.asarray(battery.positions(evidence.env, condition.levels))
        for index in _shown(condition):
            level = jax.tree.map(lambda leaf, i=index: leaf[i], condition.levels)
            place = f"{name}/{index}"
            walls = np.asarray(evidence.env.walls(level))
            states = np.arange(positions.shape[1])
            cells = battery.first_states(positions[index], walls.shape, states)
            cells = np.maximum(cells, 0)  # what is drawn on a wall is never seen
            arrays[f"{place}/walls"] = walls
            for what in ("optimal", "reachable"):
                arrays[f"{place}/{what}"] = getattr(condition, what)[index][cells]
            context = condition.context[index, 0]
            listed.append(
                {
                    "place": place,
                    "condition": name,
                    "context": np.flatnonzero(context).tolist(),
                    "glyphs": evidence.env.glyphs(level),
                }
            )
            moves = _moves(evidence, level, condition.params)
            for arm, readings in evidence.readings.items():
                drawn = _arm(readings[name], condition, evidence, index)
                drawn["move"] = np.einsum("sa,sad->sd", drawn["policy"], moves)
                drawn = {k: v[cells] for k, v in drawn.items()}
                arrays |= {f"{arm}/{place}/{k}": v for k, v in drawn.items()}
    run_folder.write_arrays(folder / "maps.npz", arrays)
    run_folder.write_json(folder / "maps.json", listed)


def _shown(condition: battery.Condition) -> list[int]:
    """The first level of every context, then others, in order."""
    contexts = condition.context[:, 0]
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
    reading: battery.Reading,
    condition: battery.Condition,
    evidence: measures.Evidence,
    index: int,
) -> dict[str, np.ndarray]:
    chosen = battery.policy(
        reading.value, reading.policy_logits, condition, evidence.acting
    )
    return {
        "value": reading.value[0, index],
        "policy": chosen[0, index],
        "gates": reading.gates[0, index],
        "parts": reading.shard_values[0, index],
    }
