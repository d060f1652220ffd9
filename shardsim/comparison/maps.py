"""Maps over the board of a few levels, as the report draws them.

maps.npz holds, for each shown level `CONDITION/i`: `walls`, `optimal`, `reachable`
[H, W]; and below `ARM/CONDITION/i`: `value` [H, W], `policy` [H, W, A], `gates` and
`parts` [H, W, K]. maps.json lists the levels with what lies in them. One seed, the
first, is drawn; numbers over all seeds are in results.json.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from shardsim import runs
from shardsim.comparison import battery, measures

SHOWN = 2
"""Levels drawn of each condition."""


def save(folder: Path, evidence: measures.Evidence, names: tuple[str, ...]) -> None:
    """Write maps.npz and maps.json for the first levels of some conditions."""
    arrays: dict[str, np.ndarray] = {}
    listed: list[dict[str, Any]] = []
    for name in names:
        condition = evidence.conditions[name]
        for index in range(min(SHOWN, len(condition.optimal))):
            level = jax.tree.map(lambda leaf, i=index: leaf[i], condition.levels)
            place = f"{name}/{index}"
            walls = np.asarray(evidence.env.walls(level))
            cells = _cells(evidence, level)
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
            for arm, readings in evidence.readings.items():
                drawn = _arm(readings[name], condition, evidence, index, cells)
                arrays |= {f"{arm}/{place}/{k}": v for k, v in drawn.items()}
    runs.write_arrays(folder / "maps.npz", arrays)
    runs.write_json(folder / "maps.json", listed)


def _cells(evidence: measures.Evidence, level: Any) -> np.ndarray:
    """[H, W]: the first state of the level in which the agent stands on each cell."""
    env = evidence.env
    position = np.asarray(jax.vmap(env.position)(env.states(level)))
    shape = np.asarray(env.walls(level)).shape
    cells = np.zeros(shape, int)
    for state in reversed(range(len(position))):
        cells[tuple(position[state])] = state
    return cells


def _arm(
    reading: battery.Reading,
    condition: battery.Condition,
    evidence: measures.Evidence,
    index: int,
    cells: np.ndarray,
) -> dict[str, np.ndarray]:
    chosen = battery.policy(reading.value, reading.prior, condition, evidence.how)
    return {
        "value": reading.value[0, index][cells],
        "policy": chosen[0, index][cells],
        "gates": reading.gates[0, index][cells],
        "parts": reading.parts[0, index][cells],
    }
