"""All numbers of the page in one tree: nested dictionaries with arrays as leaves.

The page and results.json are both made of it, so that they hold the same numbers.
Symbols: C checkpoints, N seeds, M mazes, X states of a maze, K parts.
"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from shardsim.agents import value
from shardsim.core import config as configs
from shardsim.evaluation import battery, results
from shardsim.reports.explorer import activations, forward, metadata
from shardsim.reports.explorer.activations import Inside
from shardsim.reports.explorer.forward import Boards, Whole
from shardsim.reports.explorer.load import MOST_LEVELS, Gathered, Side
from shardsim.reports.explorer.panels import (
    curves,
    directions,
    distillation,
    reachability,
    retargeting,
    shapley,
    shards,
    truth,
    weights,
)
from shardsim.reports.explorer.panels import (
    tails as tailing,
)
from shardsim.reports.verdicts import sections


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
        levels, condition = forward.levels_of(gathered, MOST_LEVELS)
        boards = forward.boards(gathered, condition)
        rest = forward.some(condition, count, None)
    sides = []
    # two programs compile beside each other; the directions are the longest
    with ThreadPoolExecutor(1) as beside:
        inner = []
        if not quick:
            with clock.over("features"):
                inner = [activations.look(gathered, s, levels) for s in gathered.sides]
        steered = beside.submit(_steered, inner, gathered, condition, boards, clock)
        for number, side in enumerate(gathered.sides):
            with clock.over("networks"):
                whole = forward.read(gathered, side, levels)
            sides.append(_side(gathered, side, whole, condition, boards, clock))
            if not quick:
                sides[-1] |= _more(
                    gathered, side, inner[number], whole, condition, boards, clock
                )
        for told, cards in zip(sides, steered.result(), strict=False):
            told |= cards
    book: dict[str, Any] = {
        "about": metadata.runs_of(gathered),
        "world": metadata.world(gathered),
        "mazes": metadata.mazes(gathered, levels, condition, boards),
        "sprites": metadata.sprites(gathered, levels),
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
    rest = forward.some(condition, count, None)
    tail = Whole(*(leaf[:, :, count:] for leaf in whole))
    with clock.over("fields"):
        found = curves.curves(tail, rest, side.acts)
    with clock.over("ways"):
        reach = reachability.chances(gathered, whole, condition, boards)
    with clock.over("shards"):
        used = shards.usage(tail, rest.reachable)
        roles = shards.roles(tail, rest.reachable)
        wanted = shards.wants(
            gathered.world, tail, rest, gathered.how, roles["partner"]
        )
    read = forward.shown(whole, boards.kept)
    head = configs.to_dict(side.arm.head)
    features = side.config.agent.encoder.features
    contexts = side.config.env.num_contexts
    size = value.count_parameters(side.arm.head, features, contexts, side.arm.width)
    return {
        "arm": side.arm.name,
        "run": side.folder.name,
        "head": head,
        "unusual": sections.unusual(side.arm.head),
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
        "weights": {},
        "truths": {},
        "tails": {},
        "things": [],
        "fitted": {},
        "read": {**read._asdict(), **reach},
    }


def _steered(
    inner: list[Inside],
    gathered: Gathered,
    condition: battery.Condition,
    boards: Boards,
    clock: Clock,
) -> list[dict[str, Any]]:
    """Directions, interventions, weights and CCS, of each side."""
    count = len(gathered.mazes)
    found = []
    for one in inner:
        sample = activations.sample(condition, one, count)
        with clock.over("directions"):
            runs = directions.found(one, sample)
            steered = {} if runs is None else directions.card(runs, one, sample)
        with clock.over("interventions"):
            planned = retargeting.plan(gathered, condition, boards, one, sample)
            steered |= _moved(gathered, one, sample, runs, planned, condition, boards)
        with clock.over("weights"):
            shown = activations.shown(one.features[:, :count], boards, 1)
            weighed = weights.card(one, sample, shown, boards)
        with clock.over("truths"):
            true = truth.card(one, sample)
        found.append({"steering": steered, "weights": weighed, "truths": true})
    return found


def _moved(
    gathered: Gathered,
    inner: Inside,
    sample: activations.Sample,
    runs: directions.Runs | None,
    planned: retargeting.Plan | None,
    condition: battery.Condition,
    boards: Boards,
) -> dict[str, Any]:
    """V under every intervention, asked for in one program a side."""
    count = len(boards.kept)
    shown = activations.shown(inner.features[:, :count], boards, 1)
    context = activations.shown(inner.context[:count], boards, 0)
    found = []
    for seed, base in enumerate(shown):
        rows = [] if runs is None else [directions.moves(runs, seed, sample, base)]
        around = [
            np.broadcast_to(context, (len(part), *context.shape)) for part in rows
        ]
        if planned is not None:
            pieces = retargeting.pieces(planned, inner, seed, base.shape[1])
            rows, around = [*rows, pieces[0]], [*around, pieces[1]]
        if not rows:
            return {}
        both = (np.concatenate(part) for part in (rows, around))
        found.append(directions.moved(inner, seed, *both))
    said = np.stack(found)
    split = directions.MOVES if runs is not None else 0
    told = {} if runs is None else directions.told(said[:, :split])
    if planned is not None:
        told["retarget"] = retargeting.told(
            planned, inner, condition, boards, gathered.how, said[:, split:]
        )
    return told


def _more(
    gathered: Gathered,
    side: Side,
    inner: Inside,
    whole: Whole,
    condition: battery.Condition,
    boards: Boards,
    clock: Clock,
) -> dict[str, Any]:
    """What a quick page leaves out besides: tails, things, experts."""
    count = len(gathered.mazes)
    tail = Whole(*(leaf[:, :, count:] for leaf in whole))
    rest = forward.some(condition, count, None)
    with clock.over("tails"):
        tails = tailing.card(tail, rest)
    with clock.over("things"):
        things = shapley.shares(gathered, side, condition.levels)
    with clock.over("experts"):
        fitted = distillation.fitted(inner, whole, condition, boards)
    return {"tails": tails, "things": things, "fitted": fitted}


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
            row["difference"] = curves.end(name, b - a)
        rows.append(row)
    return rows


def _verdicts(gathered: Gathered) -> list[dict[str, Any]]:
    """What the run's own judge said, if both sides come from one judged run."""
    folders = {side.folder for side in gathered.sides}
    if len(folders) > 1:
        return []
    (folder,) = folders
    if not (folder / results.FILE).is_file():
        return []
    found = results.read(folder)
    entries = found.predictions if isinstance(found, results.RunResult) else {}
    return [
        {
            "name": name,
            "question": entry.question,
            "effect": configs.to_dict(entry.effect),
            "rule": configs.to_dict(entry.rule),
            "p": entry.p_value,
            "verdict": entry.verdict,
            "contrast": sections.contrast(entry),
            "controls": sections.outcome(entry),
        }
        for name, entry in entries.items()
    ]
