"""Curves of training: metrics of V and the policy at every checkpoint, and their ends.

A run measures return, error of V and shards in use at every snapshot, over all levels
of its first condition. The page shows these numbers, which its report shows too; all
others are computed here, over the levels of the page.

Symbols: C checkpoints, N seeds, L levels, S states, A actions, K shards.
"""

import dataclasses
import functools
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.core import jit
from shardsim.evaluation import battery, exact_policies, measures
from shardsim.evaluation.experiment import Experiment
from shardsim.inspection.fields import maps
from shardsim.inspection.shards import contributions
from shardsim.reports.explorer.forward import Predictions
from shardsim.reports.explorer.load import Side
from shardsim.reports.explorer.panels import base
from shardsim.training import metric_records

TIE = measures.AgreementShift().tie
"""Actions whose Q is within this of the best count as best."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """Name and meaning of a curve."""

    name: str
    unit: str


METRICS = MappingProxyType(
    {
        "return": Metric(
            "return / optimal return", "exact expected return, acting as in training"
        ),
        "value_error": Metric("error of V", "RMS of V - V*, in SD of V*"),
        "agreement": Metric(
            "policy and V agree",
            "share of states where D's most likely action is among V's best",
        ),
        "gate_entropy": Metric(
            "gate entropy", "of the normalised gates in a state, in nats"
        ),
        "shards_in_use": Metric(
            "shards in use", "effective number: exp(entropy of the mean gates), 1 to K"
        ),
        "seed_similarity": Metric(
            "similarity of seeds", "mean correlation of V with V of the other seeds"
        ),
    }
)
MEASURED_BY_RUN = MappingProxyType(
    {
        "return": "return_fraction",
        "value_error": "value_error",
        "shards_in_use": "shards_in_use",
    }
)
"""Metrics that a run measures at every snapshot, with their fields in metrics.jsonl."""
WITHOUT_INTERVAL = "seed_similarity"
"""Two seeds share the pair that their numbers come from, so that an interval that
takes them as independent would be too narrow."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """Every metric of one side."""

    metrics: dict[str, Float[np.ndarray, "C N"]]
    ends: dict[str, base.Estimate]
    """At the last checkpoint, over seeds."""
    levels: dict[str, int]
    """Number of levels that each metric is measured over."""


def compute(context: base.PanelContext) -> Curves:
    """All metrics: those that the run has measured, the others computed."""
    condition, predictions = context.curve_condition, context.curve_predictions
    acting = context.side.training_acting
    mask = jnp.asarray(condition.reachable)
    table = jax.tree.map(jnp.asarray, condition.table)
    optimal = jnp.asarray(condition.optimal)
    rows = []
    for c in range(len(predictions.value)):
        outputs = [jnp.asarray(leaf[c]) for leaf in predictions]
        rows.append(_checkpoint(table, optimal, mask, acting, *outputs))
    metrics = {
        name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]
    }
    metrics["seed_similarity"] = _seed_similarity(
        predictions.value[:, :, condition.reachable]
    )
    levels = dict.fromkeys(METRICS, len(condition.optimal))
    measured = _measured(context)
    if measured is not None:
        metrics |= measured.metrics
        levels |= dict.fromkeys(measured.metrics, measured.levels)
    else:
        metrics["return"] = _returns(predictions, condition, acting)
    metrics = {name: metrics[name] for name in METRICS}
    ends = {name: end(name, x[-1]) for name, x in metrics.items()}
    return Curves(metrics, ends, levels)


class Measured(NamedTuple):
    """What a run measured at its snapshots."""

    metrics: dict[str, Float[np.ndarray, "C N"]]
    levels: int
    """Number of levels that they are measured over."""


def _measured(context: base.PanelContext) -> Measured | None:
    """What the run measured; None unless the runs of all sides measured it.

    Two sides are compared over the same levels.
    """
    sides = context.inputs.sides
    if any(_levels(side) != _levels(sides[0]) for side in sides):
        return None
    if any(measured_by_run(side) is None for side in sides):
        return None
    return measured_by_run(context.side)


def _levels(side: Side) -> Any:
    """What the levels of a run's first condition follow from."""
    if not isinstance(side.config, Experiment):
        return None
    evaluation = side.config.evaluation
    return (
        evaluation.levels,
        evaluation.seed,
        next(iter(evaluation.conditions.values())),
    )


def measured_by_run(side: Side) -> Measured | None:
    """The metrics that the run of a side measured at the checkpoints of the page.

    None for a training, which is not evaluated, and where a checkpoint has none.
    """
    if not isinstance(side.config, Experiment):
        return None
    rows: dict[int, metric_records.SnapshotMetrics] = {}
    for line in metric_records.snapshots(side.folder):
        if line.arm == side.arm.name:
            rows.setdefault(line.update, line)
    if not rows.keys() >= {*side.updates}:
        return None
    lines = [rows[update] for update in side.updates]
    metrics = {
        name: np.asarray([getattr(line, field) for line in lines], float)
        for name, field in MEASURED_BY_RUN.items()
    }
    shape = (len(side.updates), side.num_seeds)
    if any(x.shape != shape for x in metrics.values()):
        return None
    return Measured(metrics, side.config.evaluation.levels)


def end(name: str, x: Float[np.ndarray, " N"]) -> base.Estimate:
    """Mean of a metric over seeds, with its interval where there is one."""
    estimate = base.estimate(x)
    if name != WITHOUT_INTERVAL:
        return estimate
    return dataclasses.replace(estimate, low=float("nan"), high=float("nan"))


@functools.partial(jit.jit, static_argnums=3)
def _checkpoint(
    table: Any,
    optimal: Array,
    mask: Array,
    acting: exact_policies.ActingRule,
    value: Array,
    log_decoder: Array,
    gates: Array,
    shard_values: Array,
) -> dict[str, Array]:
    """Metrics of one checkpoint, by seed."""
    flat = mask.reshape(-1)

    def level(value: Array, log_decoder: Array, table: Any, mask: Array) -> Array:
        agreement = maps.agreement(
            value,
            jnp.exp(log_decoder),
            table.successor,
            table.reward,
            table.terminated,
            mask,
            acting.discount,
            tie=TIE,
        )
        return jnp.where(mask, agreement.agrees, 0).sum()

    def seed(value: Array, log_decoder: Array, gates: Array, parts: Array) -> Any:
        agreed = jax.vmap(level)(value, log_decoder, table, mask).sum()
        calibration = maps.calibration(value.reshape(-1), optimal.reshape(-1), flat)
        entropy, in_use = _masked_usage(gates, parts, flat)
        return {
            "value_error": calibration.relative,
            "agreement": agreed / mask.sum().astype(value.dtype),
            "gate_entropy": entropy,
            "shards_in_use": in_use,
        }

    return jax.vmap(seed)(value, log_decoder, gates, shard_values)


def _masked_usage(gates: Array, parts: Array, flat: Array) -> tuple[Array, Array]:
    """Entropy and shards in use over some of the states; NaN where a gate is."""
    count = gates.shape[-1]
    counted = jnp.where(flat[:, None], gates.reshape(-1, count), 0)
    usage = contributions.usage(counted, parts.reshape(-1, count))
    entropy = usage.entropy.sum() / flat.sum().astype(gates.dtype)
    is_lost = ~jnp.isfinite(gates).all()
    return (
        jnp.where(is_lost, jnp.nan, entropy),
        jnp.where(is_lost, jnp.nan, usage.in_use),
    )


def _returns(
    predictions: Predictions,
    condition: battery.Condition,
    acting: exact_policies.ActingRule,
) -> Float[np.ndarray, "C N"]:
    """Exact return of every checkpoint and seed, as a fraction of the optimum."""
    policy = exact_policies.policy(
        predictions.value, predictions.log_decoder, condition, acting
    )
    flat = policy.reshape(-1, *policy.shape[2:])
    returns = exact_policies.expected_return(
        flat, condition, acting.discount, acting.max_steps
    )
    best = condition.best.mean()
    return (returns.mean(axis=1) / best).reshape(policy.shape[:2])


def _seed_similarity(value: Float[np.ndarray, "C N X"]) -> Float[np.ndarray, "C N"]:
    """Mean correlation of each seed's V with that of the other finite seeds.

    NaN for a seed that is not finite, and where there is no other.
    """
    centred = value - value.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    is_finite = np.isfinite(length)
    unit = np.where(length > 0, centred, 0) / np.where(length > 0, length, 1)
    table = unit @ np.swapaxes(unit, 1, 2)
    own = np.diagonal(table, axis1=1, axis2=2)
    others = is_finite.sum(axis=1) - 1
    total = table.sum(axis=-1) - own
    is_known = is_finite[..., 0] & (others > 0)
    return np.where(is_known, total / np.maximum(others, 1), np.nan)
