"""All numbers of the page in one tree: nested dictionaries with arrays as leaves.

The page and results.json are both made of it, so that they hold the same numbers.
Symbols: C checkpoints, N seeds, M mazes, X states of a maze, K parts.
"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from shardsim import config as configs
from shardsim import runs, value
from shardsim.comparison import battery
from shardsim.viewer import (
    curves,
    experts,
    objects,
    parts,
    pictures,
    reading,
    routes,
    steering,
    tailing,
)
from shardsim.viewer.gather import MOST_LEVELS, Gathered, Side
from shardsim.viewer.reading import Boards, Whole


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
    # two programs compile beside each other; the directions are the longest
    with ThreadPoolExecutor(1) as beside:
        steered = beside.submit(
            _steered,
            () if quick else gathered.sides,
            gathered,
            condition,
            boards,
            clock,
        )
        sides = []
        for side in gathered.sides:
            with clock.over("networks"):
                whole = reading.read(gathered, side, levels)
            sides.append(_side(gathered, side, whole, condition, boards, clock))
            if not quick:
                sides[-1] |= _more(gathered, side, whole, condition, boards, clock)
        for told, cards in zip(sides, steered.result(), strict=False):
            told["steering"] = cards
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
        reach = routes.chances(gathered, whole, condition, boards)
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
        "things": [],
        "fitted": {},
        "read": {**read._asdict(), **reach},
    }


def _steered(
    sides: tuple[Side, ...],
    gathered: Gathered,
    condition: battery.Condition,
    boards: Boards,
    clock: Clock,
) -> list[dict[str, Any]]:
    """Directions with interventions, of each side."""
    with clock.over("directions"):
        count = len(gathered.mazes)
        return [
            steering.cards(gathered, side, condition, boards, count) for side in sides
        ]


def _more(
    gathered: Gathered,
    side: Side,
    whole: Whole,
    condition: battery.Condition,
    boards: Boards,
    clock: Clock,
) -> dict[str, Any]:
    """What a quick page leaves out: tails, what the things are worth, experts."""
    count = len(gathered.mazes)
    tail = Whole(*(leaf[:, :, count:] for leaf in whole))
    rest = reading.some(condition, count, None)
    with clock.over("tails"):
        tails = tailing.card(tail, rest)
    with clock.over("things"):
        things = objects.shares(gathered, side, condition.levels)
    with clock.over("experts"):
        fitted = experts.fitted(gathered, side, whole, condition, boards)
    return {"tails": tails, "things": things, "fitted": fitted}


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
