"""Curves of training: metrics of V and the policy at every checkpoint, and their ends.

Symbols: C checkpoints, N seeds, L levels, S states, A actions, K shards.
"""

import dataclasses
import functools
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.core import jit
from shardsim.evaluation import battery, measures
from shardsim.inspection.fields import maps
from shardsim.inspection.shards import contributions
from shardsim.reports.explorer.forward import Predictions
from shardsim.reports.explorer.panels import base

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
WITHOUT_INTERVAL = "seed_similarity"
"""Two seeds share the pair that their numbers come from, so that an interval that
takes them as independent would be too narrow."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """Every metric of one side."""

    metrics: dict[str, Float[np.ndarray, "C N"]]
    ends: dict[str, base.Estimate]
    """At the last checkpoint, over seeds."""


def compute(context: base.PanelContext) -> Curves:
    """All metrics on the levels of the curves."""
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
    metrics["return"] = _returns(predictions, condition, acting)
    metrics["seed_similarity"] = _seed_similarity(
        predictions.value[:, :, condition.reachable]
    )
    metrics = {name: metrics[name] for name in METRICS}
    return Curves(metrics, {name: end(name, x[-1]) for name, x in metrics.items()})


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
    acting: battery.ActingRule,
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
    predictions: Predictions, condition: battery.Condition, acting: battery.ActingRule
) -> Float[np.ndarray, "C N"]:
    """Exact return of every checkpoint and seed, as a fraction of the optimum."""
    policy = battery.policy(
        predictions.value, predictions.log_decoder, condition, acting
    )
    flat = policy.reshape(-1, *policy.shape[2:])
    returns = battery.expected_return(
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
