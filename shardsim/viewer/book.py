"""All numbers of the page in one tree: nested dictionaries with arrays as leaves.

The page and results.json are both made of it, so that they hold the same numbers.
Symbols: C checkpoints, N seeds, M mazes, X states of a maze, K parts.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shardsim import config as configs
from shardsim import runs, value
from shardsim.comparison import battery
from shardsim.inspection import ways
from shardsim.viewer import curves, parts, pictures, reading, steering, tailing
from shardsim.viewer.gather import MOST_LEVELS, Gathered, Side
from shardsim.viewer.reading import Boards, Whole

MOST_SOLVED = 600
"""States of a level up to which ways to the goal are solved for exactly."""


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def over(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        passed = time.perf_counter() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + passed


def write(gathered: Gathered, clock: Clock, quick: bool = False) -> dict[str, Any]:
    """Compute everything, or all but interventions, directions and tails."""
    count = len(gathered.mazes)
    with clock.over("levels"):
        levels, condition = reading.levels_of(gathered, MOST_LEVELS)
        boards = reading.boards(gathered, condition)
        rest = reading.some(condition, count, None)
    sides = []
    for side in gathered.sides:
        with clock.over("networks"):
            whole = reading.read(gathered, side, levels)
        sides.append(
            _side(gathered, side, whole, condition, boards, clock)
            | ({} if quick else _more(gathered, side, whole, condition, boards, clock))
        )
    book: dict[str, Any] = {
        "about": _about(gathered),
        "world": _world(gathered),
        "mazes": _mazes(gathered, levels, condition, boards),
        "sprites": _sprites(gathered, levels),
        "boards": {
            **boards._asdict(),
            "optimal": boards.exact,
        },
        "sides": sides,
        "levels": len(rest.optimal),
        "curve names": curves.NAMES,
    }
    del book["boards"]["exact"], book["boards"]["kept"]
    book["table"] = _table(gathered, sides)
    book["verdicts"] = _verdicts(gathered)
    return book


def _side(
    gathered: Gathered,
    side: Side,
    whole: Whole,
    condition: battery.Condition,
    boards: Boards,
    clock: Clock,
) -> dict[str, Any]:
    count = len(gathered.mazes)
    rest = reading.some(condition, count, None)
    tail = Whole(*(leaf[:, :, count:] for leaf in whole))
    with clock.over("fields"):
        found = curves.curves(tail, rest, gathered.how)
    with clock.over("ways"):
        reach = _ways(gathered, whole, condition, boards)
    with clock.over("shards"):
        used = parts.usage(tail, rest.reachable)
        roles = parts.roles(tail, rest.reachable)
        wanted = parts.wants(gathered.world, tail, rest, gathered.how, roles["partner"])
    read = reading.shown(whole, boards.kept)
    head = configs.to_dict(side.arm.head)
    features = side.config.agent.encoder.features
    contexts = side.config.world.num_contexts
    size = value.count_parameters(side.arm.head, features, contexts, side.arm.width)
    return {
        "arm": side.arm.name,
        "run": side.folder.name,
        "head": head,
        "trained": side.arm.trained,
        "parameters": size,
        "seeds": side.seeds,
        "parts": int(whole.gates.shape[-1]),
        "updates": list(side.updates),
        "curves": found,
        "ends": curves.ends(found),
        "usage": used,
        "roles": roles,
        "wants": wanted,
        "steering": {},
        "tails": {},
        "read": {**read._asdict(), **reach},
    }


def _more(
    gathered: Gathered,
    side: Side,
    whole: Whole,
    condition: battery.Condition,
    boards: Boards,
    clock: Clock,
) -> dict[str, Any]:
    """What takes the most time: directions with interventions, and tails."""
    count = len(gathered.mazes)
    with clock.over("directions"):
        steered = steering.cards(gathered, side, condition, boards, count)
    with clock.over("tails"):
        tail = Whole(*(leaf[:, :, count:] for leaf in whole))
        tailed = tailing.card(tail, reading.some(condition, count, None))
    return {"steering": steered, "tails": tailed}


def _ways(
    gathered: Gathered, whole: Whole, condition: battery.Condition, boards: Boards
) -> dict[str, np.ndarray]:
    """Chance to get to what pays most, and along a shortest path a step."""
    states = condition.optimal.shape[1]
    if states > MOST_SOLVED:
        return {}
    count = len(gathered.mazes)
    mazes = reading.some(condition, 0, count)
    mazed = Whole(*(leaf[:, :, :count] for leaf in whole))
    chosen = reading.policy(mazed, mazes, gathered.how)
    reach, path = [], []
    for m in range(count):
        table = jax.tree.map(lambda leaf, m=m: np.asarray(leaf[m]), mazes.table)
        goal = _goal(table, mazes.reachable[m])
        policy = chosen[:, :, m].astype(np.float64)
        kept = np.maximum(boards.kept[m], 0)
        found = ways.reach_probability(table.successor, policy, table.terminated, goal)
        reach.append(found.probability[..., kept])
        path.append(_paths(table, policy, goal)[..., kept])
    return {
        "reach": np.stack(reach, axis=2).astype(np.float32),
        "path": np.stack(path, axis=2).astype(np.float32),
    }


def _goal(table: Any, reachable: np.ndarray) -> np.ndarray:
    """States in which an episode ends with the most that an end pays."""
    ends = np.where(table.terminated & reachable[:, None], table.reward, -np.inf)
    best = np.where(ends >= max(ends.max(), 1e-6) - 1e-6)
    goal = np.zeros(len(reachable), bool)
    goal[table.successor[best]] = True
    return goal


@jax.jit
def _walked(successor: Any, policy: Any, terminated: Any, goal: Any) -> Any:
    def one(policy: Any) -> Any:
        return ways.path_probability(successor, policy, terminated, goal).geometric

    return jax.vmap(jax.vmap(one))(policy)


def _paths(table: Any, policy: np.ndarray, goal: np.ndarray) -> np.ndarray:
    arrays = (table.successor, policy.astype(np.float32), table.terminated, goal)
    return np.asarray(_walked(*map(jnp.asarray, arrays)))


def _about(gathered: Gathered) -> dict[str, Any]:
    found = []
    for folder in dict.fromkeys(side.folder for side in gathered.sides):
        config = next(s.config for s in gathered.sides if s.folder == folder)
        origin = runs.read_json(folder / "provenance.json")
        found.append(
            {
                "run": folder.name,
                "name": config.name,
                "digest": configs.digest(config),
                "revision": origin.get("revision"),
                "versions": origin.get("versions", {}),
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


def _world(gathered: Gathered) -> dict[str, Any]:
    world, how = gathered.world, gathered.how
    finite = np.isfinite(how.temperature)
    return {
        "kind": world.kind,
        "actions": world.num_actions,
        "discount": how.discount,
        "temperature": how.temperature if finite else None,
        "prior acts": how.use_prior,
        "tie": curves.TIE,
        "sources": list(world.reward_sources),
    }


def _mazes(
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
                "picture": pictures.level(gathered.world, level),
            }
        )
    return out


def _sprites(gathered: Gathered, levels: Any) -> dict[str, str]:
    """Pictures of the things in the mazes and of what pays, by name."""
    names = set(gathered.world.reward_sources)
    for m in range(len(gathered.mazes)):
        level = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], levels)
        names |= set(gathered.world.glyphs(level))
    return {name: pictures.thing(name) for name in sorted(names)}


def _table(gathered: Gathered, sides: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A and B at the end, and B - A, paired by seed where there are as many."""
    rows = []
    for name, (short, long) in curves.NAMES.items():
        row: dict[str, Any] = {
            "name": short,
            "what": long,
            "of": [s["ends"][name] for s in sides],
        }
        if len(sides) == 2 and sides[0]["seeds"] == sides[1]["seeds"]:
            a, b = (side["curves"][name][-1] for side in sides)
            row["difference"] = curves.interval(b - a)
        rows.append(row)
    return rows


def _verdicts(gathered: Gathered) -> list[dict[str, Any]]:
    """What the run's own judge said, if both sides come from one judged run."""
    folders = {side.folder for side in gathered.sides}
    if len(folders) > 1:
        return []
    path = next(iter(folders)) / "results.json"
    found = runs.read_json(path) if path.is_file() else {}
    keys = ("question", "effect", "rule", "p", "verdict", "stands")
    return [
        {"name": name, **{key: entry[key] for key in keys}}
        for name, entry in found.get("predictions", {}).items()
    ]
