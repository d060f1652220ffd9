"""What the page says of the runs, the world and the mazes."""

from typing import Any

import jax
import numpy as np

from shardsim.core import config as configs
from shardsim.evaluation import battery
from shardsim.reports.explorer import images
from shardsim.reports.explorer.forward import Boards
from shardsim.reports.explorer.load import Gathered, Side
from shardsim.reports.explorer.panels import curves
from shardsim.storage import records
from shardsim.storage.provenance import Provenance


def runs_of(gathered: Gathered) -> dict[str, Any]:
    found = []
    for folder in dict.fromkeys(side.folder for side in gathered.sides):
        config = next(s.config for s in gathered.sides if s.folder == folder)
        origin = records.read(folder / "provenance.json", Provenance)
        found.append(
            {
                "run": folder.name,
                "name": config.name,
                "digest": configs.digest(config),
                "revision": origin.revision,
                "versions": origin.versions,
                "seeds": config.train.num_seeds,
                "updates": config.train.total_updates,
            }
        )
    question = getattr(gathered.sides[0].config, "question", "")
    return {
        "runs": found,
        "question": question,
        "differ": _differ(gathered.sides),
    }


def _differ(sides: tuple[Side, ...]) -> list[list[Any]]:
    """Fields in which the two sides differ: of their arms, and of their runs."""
    if len(sides) < 2:
        return []
    a, b = sides
    arms = configs.diff(a.config.arms[a.arm.name], b.config.arms[b.arm.name], "arm")
    whole = {} if a.folder == b.folder else configs.diff(a.config, b.config)
    return [[key, str(x), str(y)] for key, (x, y) in {**arms, **whole}.items()]


def world(gathered: Gathered) -> dict[str, Any]:
    found, how = gathered.world, gathered.how
    finite = np.isfinite(how.temperature)
    return {
        "kind": found.kind,
        "actions": found.num_actions,
        "discount": how.discount,
        "temperature": how.temperature if finite else None,
        "prior acts": how.use_decoder,
        "acts": how.describe(),
        "tie": curves.TIE,
        "sources": list(found.reward_sources),
    }


def mazes(
    gathered: Gathered, levels: Any, condition: battery.Condition, boards: Boards
) -> list[dict[str, Any]]:
    out = []
    for m, maze in enumerate(gathered.mazes):
        level = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], levels)
        glyphs = gathered.world.glyphs(level)
        out.append(
            {
                "condition": maze.condition,
                "level": maze.level,
                "context": np.flatnonzero(condition.context[m, 0]).tolist(),
                "things": [
                    {"name": name, "row": int(row), "column": int(column)}
                    for name, (row, column) in glyphs.items()
                ],
                "picture": images.level(gathered.world, level),
            }
        )
    return out


def sprites(gathered: Gathered, levels: Any) -> dict[str, str]:
    """Pictures of the things in the mazes and of what pays, by name."""
    names = set(gathered.world.reward_sources)
    for m in range(len(gathered.mazes)):
        level = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], levels)
        names |= set(gathered.world.glyphs(level))
    return {name: images.thing(name) for name in sorted(names)}
