"""Everything that the page reads, as one tree of records.

The page and its .results.json are both written from it, so that they hold the same
numbers. Symbols: C checkpoints, N seeds, M mazes, X states of a maze, H, W board.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from shardsim.reports.explorer.panels import base
from shardsim.reports.explorer.panels.curves import Metric


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """Where the numbers of one run folder come from."""

    run: str
    name: str
    digest: str
    revision: str | None
    versions: dict[str, str]
    num_seeds: int
    updates: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """A config field in which the two sides differ."""

    field: str
    a: str
    """As YAML would have it; a dash where there is none."""
    b: str


@dataclasses.dataclass(frozen=True)
class About:
    """The runs, their question, and what differs between the sides."""

    question: str
    runs: list[RunInfo]
    differences: list[Difference]


@dataclasses.dataclass(frozen=True)
class Env:
    """The environment, and the acting rule of the policy that the page shows."""

    kind: str
    num_actions: int
    discount: float
    temperature: float | None
    """None where V does not act."""
    use_decoder: bool
    acting: str
    """The acting rule in words."""
    tie: float
    """Actions whose Q is within this of the best count as best."""
    reward_sources: list[str]


@dataclasses.dataclass(frozen=True)
class Object:
    """Something on the board, or the start."""

    name: str
    row: int
    column: int


@dataclasses.dataclass(frozen=True)
class MazeInfo:
    """One level that the page draws."""

    condition: str
    level: int
    """Its index in the condition."""
    context: list[int]
    objects: list[Object]
    image: str
    """A data URI; empty where the environment has no renderer."""


@dataclasses.dataclass(frozen=True)
class Boards:
    """The mazes: what is the same for all networks. See `forward.Mazes`."""

    walls: Bool[np.ndarray, "M H W"]
    state_at: Int[np.ndarray, "M H W"]
    position: Int[np.ndarray, "M X 2"]
    successor: Int[np.ndarray, "M X A"]
    reward: Float[np.ndarray, "M X A"]
    terminated: Bool[np.ndarray, "M X A"]
    optimal: Float[np.ndarray, "M X"]


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What the networks of one side output. See `forward.MazePredictions`."""

    value: Float[np.ndarray, "C N M X"]
    log_decoder: Float[np.ndarray, "C N M X A"]
    gates: Float[np.ndarray, "C N M X K"]
    shard_values: Float[np.ndarray, "C N M X K"]


@dataclasses.dataclass(frozen=True)
class SideData:
    """One arm, with the numbers of every panel by name."""

    arm: str
    run: str
    head: dict[str, Any]
    unusual: dict[str, str]
    """Fields of the head that are not at their defaults."""
    trained: bool
    num_parameters: int | None
    """Of V; None where it is not a network of shardsim."""
    num_seeds: int
    num_shards: int
    updates: list[int]
    outputs: Outputs
    panels: Mapping[str, Any]
    """None where a panel does not apply."""
    num_left_out: int = 0
    """Checkpoints that the page leaves out to stay small."""


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of both sides at the last checkpoint."""

    name: str
    unit: str
    levels: int
    """Number of levels of the first condition that it is measured over."""
    sides: list[base.Estimate]
    difference: base.Estimate | None
    """B - A, paired by seed; None where the numbers of seeds differ."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the run's judge decided about a prediction."""

    name: str
    question: str
    contrast: str
    metric: str
    unit: str
    """Of the metric, the effect and the margin."""
    effect: base.Estimate
    margin: float
    p_value: float
    verdict: str
    controls: str


@dataclasses.dataclass(frozen=True)
class PageData:
    """The page."""

    about: About
    env: Env
    mazes: list[MazeInfo]
    sprites: dict[str, str]
    """Images of objects as data URIs."""
    boards: Boards
    sides: list[SideData]
    num_levels: int
    """Levels of the first condition that the page itself evaluates."""
    metrics: dict[str, Metric]
    comparison: list[MetricRow]
    verdicts: list[Verdict]
    asked: list[str]
    """When the questions of the verdicts were asked."""
    ramps: dict[str, list[str]]
    """Colours of boards, from low to high."""
    seconds: dict[str, float]
    """Spent on each part of the page."""


def thinned(data: PageData, share: float) -> PageData:
    """The page with a share of its checkpoints, evenly spaced, the last among them."""
    return dataclasses.replace(data, sides=[_thinned(s, share) for s in data.sides])


def _thinned(side: SideData, share: float) -> SideData:
    count = len(side.updates)
    keep = max(1, int(count * share))
    chosen = sorted({count - 1 - round(i * count / keep) for i in range(keep)})
    outputs = Outputs(*(leaf[chosen] for leaf in vars(side.outputs).values()))
    panels = dict(side.panels)
    curves = panels["curves"]
    panels["curves"] = dataclasses.replace(
        curves, metrics={name: x[chosen] for name, x in curves.metrics.items()}
    )
    if panels["reachability"] is not None:
        reach = panels["reachability"]
        panels["reachability"] = dataclasses.replace(
            reach, reach=reach.reach[chosen], path=reach.path[chosen]
        )
    return dataclasses.replace(
        side,
        updates=[side.updates[i] for i in chosen],
        outputs=outputs,
        panels=panels,
        num_left_out=count - len(chosen),
    )
