"""What a metric separates on the zoo, and how well: every number of results.json.

Symbols: M members, N seeds, lambda the weight of shards in a blend.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float

from shardsim.core import fields
from shardsim.core.statistics import intervals, separation
from shardsim.evaluation import results, tools
from shardsim.evaluation.zoo import measuring
from shardsim.evaluation.zoo.config import (
    Blended,
    Expected,
    Metric,
    Role,
    Rotated,
    Trained,
    ZooConfig,
)
from shardsim.storage import records

AREA = 0.95
"""AUROC from which on a metric separates."""
RELIABLE = 0.8
"""Correlation between two batteries from which on a metric is reliable."""


@fields.record(kw_only=True, float64=True)
class MemberResult:
    """One member over all seeds."""

    shards: Role
    parameters: int
    """Of V."""
    selected: tuple[bool, ...]
    """[N] whether its gates had parted, where the config asks for that."""
    return_fraction: records.SeedNumbers
    """[N], 1 is the exact optimum."""
    value_error: records.SeedNumbers
    """[N], in sd of V*."""
    gate_information: records.SeedNumbers
    """[N], fraction of log C."""
    reached_min_return: bool
    """Whether the mean return of the selected seeds reaches `min_return`."""
    is_exact: bool
    """Whether the mean error of the selected seeds is at most `max_error`."""


@fields.record(kw_only=True, float64=True)
class AgentsResult:
    """Ordinary agents of a run."""

    parameters: int
    """Of V."""
    return_fraction: records.SeedNumbers
    """[N] where they act by V alone; 1 is the exact optimum."""
    value_error: records.SeedNumbers
    """[N], in sd of V*."""
    gate_information: records.SeedNumbers
    """[N], fraction of log C."""
    is_exact: bool
    """Whether the mean error is at most `max_error`."""


@fields.record(kw_only=True, float64=True)
class AgentsScore:
    """Where one metric places ordinary agents among the members."""

    scores: tuple[records.SeedNumbers, ...]
    """[2, N], one row for each battery."""
    above_no: results.Interval
    """AUROC against the members without shards: 1/2 is like them, 1 is above all."""
    above_yes: results.Interval
    """AUROC against the members with shards: 1/2 is like them, 0 is below all."""


@fields.record(kw_only=True, float64=True)
class MetricResult:
    """One metric on all members."""

    title: str
    of: tools.Of
    expected: Expected
    """What was expected before the run."""
    scores: dict[fields.Name, tuple[records.SeedNumbers, ...]]
    """[2, N] by member, one row for each battery; None where it is not selected."""
    auroc: results.Interval
    """Members with shards against those without, on the first battery."""
    against: dict[fields.Name, records.Number]
    """AUROC of the members with shards against one other member."""
    order: results.Interval
    """Spearman correlation with lambda in the blends, mean over seeds."""
    rotation: records.Number
    """Largest change by a rotation of E's output that V undoes, in sd of all scores."""
    retest: records.Number
    """Correlation between two batteries, over all members and seeds."""
    retest_within: records.Number
    """The same within members: of what differs between the seeds of one."""
    function: records.Number
    """AUROC against the members without shards of the member whose function alone has
    them: near 1, the metric measures the function; near 1/2, the weights."""
    agents: dict[fields.Name, AgentsScore]
    """Where ordinary agents stand, by name."""
    separates: bool
    """Whether the AUROC is at least `AREA`."""
    is_reliable: bool
    """Whether `retest` is at least `RELIABLE`."""

    @property
    def stands(self) -> bool:
        """Whether the metric may be quoted: it separates, and a repetition agrees."""
        return self.separates and self.is_reliable


@fields.record(kw_only=True, float64=True)
class ZooResult:
    """Everything that a zoo says."""

    name: str
    digest: str
    """Of the config."""
    num_seeds: int
    members: dict[fields.Name, MemberResult]
    agents: dict[fields.Name, AgentsResult]
    metrics: dict[fields.Name, MetricResult]
    goals: dict[str, bool]
    """Whether a metric of the function, and one of the weights, stands."""


class Beside(NamedTuple):
    """Ordinary agents that were measured beside the members."""

    parameters: int
    """Of V."""
    measured: list[measuring.Measured]
    """[N]"""


def judge(
    config: ZooConfig,
    digest: str,
    parameters: Mapping[str, int],
    measured: Mapping[str, list[measuring.Measured]],
    beside: Mapping[str, Beside],
) -> ZooResult:
    """Calibrate every metric on the members, and place ordinary agents among them.

    Args:
      digest: of the config.
      parameters: of V, by member.
      measured: [N] by member; components are left out.
      beside: ordinary agents by name.
    """
    members = {
        name: _member(config, name, parameters[name], seeds)
        for name, seeds in measured.items()
    }
    found = {
        name: _metric(config, name, metric, members, measured, beside)
        for name, metric in config.metrics.items()
    }
    goals = {
        of: any(m.stands for m in found.values() if m.of == of)
        for of in ("function", "weights")
    }
    return ZooResult(
        name=config.name,
        digest=digest,
        num_seeds=config.num_seeds,
        members=members,
        agents={name: _agents(config, agents) for name, agents in beside.items()},
        metrics=found,
        goals=goals,
    )


def _member(
    config: ZooConfig, name: str, parameters: int, seeds: list[measuring.Measured]
) -> MemberResult:
    member = config.members[name]
    least = member.parted if isinstance(member, Trained) else None
    selected = np.array(
        [least is None or (s.gate_information or 0.0) >= least for s in seeds]
    )

    def of(values: list[records.Number]) -> Float[np.ndarray, " N"]:
        return np.array([np.nan if v is None else v for v in values])

    returns = of([s.return_fraction for s in seeds])
    errors = of([s.value_error for s in seeds])
    some = selected.any()
    return MemberResult(
        shards=member.shards,
        parameters=parameters,
        selected=tuple(selected.tolist()),
        return_fraction=records.numbers(returns),
        value_error=records.numbers(errors),
        gate_information=records.numbers([s.gate_information for s in seeds]),
        reached_min_return=bool(some and returns[selected].mean() >= config.min_return),
        is_exact=bool(some and errors[selected].mean() <= config.max_error),
    )


def _agents(config: ZooConfig, agents: Beside) -> AgentsResult:
    errors = records.numbers([s.value_error for s in agents.measured])
    known = [error for error in errors if error is not None]
    return AgentsResult(
        parameters=agents.parameters,
        return_fraction=records.numbers([s.return_fraction for s in agents.measured]),
        value_error=errors,
        gate_information=records.numbers([s.gate_information for s in agents.measured]),
        is_exact=bool(known and np.mean(known) <= config.max_error),
    )


def _scores(name: str, seeds: list[measuring.Measured]) -> Float[np.ndarray, "2 N"]:
    """The scores of one metric on both batteries; NaN where it does not apply."""
    values = [
        [np.nan if v is None else v for v in s.scores[name].values] for s in seeds
    ]
    return np.array(values).T


def _metric(
    config: ZooConfig,
    name: str,
    metric: Metric,
    members: Mapping[str, MemberResult],
    measured: Mapping[str, list[measuring.Measured]],
    beside: Mapping[str, Beside],
) -> MetricResult:
    scores = {
        member: np.where(members[member].selected, _scores(name, seeds), np.nan)
        for member, seeds in measured.items()
    }
    first = {member: both[0] for member, both in scores.items()}
    yes, no = (
        np.stack([first[m] for m, r in members.items() if r.shards == role])
        for role in ("yes", "no")
    )
    area = separation.auroc(yes, no)
    functions = [first[m] for m, r in members.items() if r.shards == "function"]
    whole, within = retest(scores)
    agents = {
        label: AgentsScore(
            scores=records.numbers(own),
            above_no=results.interval(separation.auroc(own[:1], no, same_seeds=False)),
            above_yes=results.interval(
                separation.auroc(own[:1], yes, same_seeds=False)
            ),
        )
        for label, own in (
            (label, _scores(name, each.measured)) for label, each in beside.items()
        )
    }
    return MetricResult(
        title=metric.tool.TITLE,
        of=metric.tool.OF,
        expected=metric.expected,
        scores={member: records.numbers(both) for member, both in scores.items()},
        auroc=results.interval(area),
        against={
            m: records.number(separation.auroc(yes, first[m][None]).estimate)
            for m, r in members.items()
            if r.shards in ("no", "function")
        },
        order=results.interval(order(config, first)),
        rotation=records.number(rotation(config, scores)),
        retest=records.number(whole),
        retest_within=records.number(within),
        function=records.number(
            separation.auroc(np.stack(functions), no).estimate if functions else None
        ),
        agents=agents,
        separates=bool(area.estimate >= AREA),
        is_reliable=bool(whole >= RELIABLE),
    )


def order(
    config: ZooConfig, scores: Mapping[str, Float[np.ndarray, " N"]]
) -> intervals.Interval:
    """Spearman correlation of scores with lambda, mean over seeds.

    A seed whose scores are all equal has no order: 0.
    """
    blends = {n: m.weight for n, m in config.members.items() if isinstance(m, Blended)}
    if len(blends) < 2:
        nan = float("nan")
        return intervals.Interval(nan, nan, nan, 0.95, 0)
    table = np.stack([scores[name] for name in blends], axis=1)
    table = table[np.isfinite(table).all(axis=1)]
    if not len(table):
        nan = float("nan")
        return intervals.Interval(nan, nan, nan, 0.95, 0)
    weights = list(blends.values())
    each = [
        scipy.stats.spearmanr(weights, row).statistic if np.ptp(row) > 0 else 0.0
        for row in table
    ]
    return intervals.mean_interval(each)


def rotation(
    config: ZooConfig, scores: Mapping[str, Float[np.ndarray, "2 N"]]
) -> float:
    """Largest change of a score by a rotation, in standard deviations of all scores."""
    changes = [
        np.abs(scores[name] - scores[member.of])
        for name, member in config.members.items()
        if isinstance(member, Rotated)
    ]
    spread = np.nanstd(np.stack(list(scores.values())))
    if not changes or not np.isfinite(changes).any() or not spread > 0:
        return float("nan")
    return float(np.nanmax(changes) / spread)


def retest(scores: Mapping[str, Float[np.ndarray, "2 N"]]) -> tuple[float, float]:
    """Correlation of two batteries over all members and seeds, and within members."""
    pairs = [both[:, np.isfinite(both).all(axis=0)] for both in scores.values()]
    whole = np.concatenate(pairs, axis=1)
    centred = np.concatenate(
        [p - p.mean(axis=1, keepdims=True) for p in pairs if p.shape[1]], axis=1
    )
    return _correlation(whole), _correlation(centred)


def _correlation(x: Float[np.ndarray, "2 n"]) -> float:
    """NaN where one side is constant."""
    sd = x.std(axis=1) if x.shape[1] > 1 else np.zeros(2)
    if not (sd > 1e-9).all():
        return float("nan")
    return float(np.corrcoef(x)[0, 1])
