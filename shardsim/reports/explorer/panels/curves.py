"""Numbers over all levels that were read: curves of training, and their ends.

Symbols: C checkpoints, N seeds, L levels, S states, A actions, K parts.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.core import jit, statistics
from shardsim.evaluation import battery, measures
from shardsim.inspection.fields import maps
from shardsim.inspection.shards import contributions
from shardsim.reports.explorer.forward import Whole

TIE = measures.Agreement().tie
"""Actions whose Q is within this of the best count as best."""

NAMES = {
    "return": ("return / exact optimum", "exact expectation, acting as in training"),
    "error": ("V error", "root mean square of V - exact V, in sd of exact V"),
    "agreement": ("policy and V agree", "states where D's best action is among V's"),
    "entropy": ("gate entropy", "of the normalised gates of a state, in nats"),
    "in use": ("parts in use", "exp(entropy of the mean gates), 1 to K"),
    "consistency": ("V alike over seeds", "mean correlation of V with other seeds"),
}
"""What each curve is called, and what it is."""
PAIRED = "consistency"
"""Seeds share the pairs that it is a mean of: as if they didn't, an interval would be
too narrow, so that there is none."""


def curves(
    whole: Whole, condition: battery.Condition, how: battery.Judged
) -> dict[str, Float[np.ndarray, "C N"]]:
    """Every curve of one side, by name."""
    mask = jnp.asarray(condition.reachable)
    table = jax.tree.map(jnp.asarray, condition.table)
    rows = []
    for c in range(len(whole.value)):
        step = [jnp.asarray(leaf[c]) for leaf in whole]
        rows.append(_step(table, jnp.asarray(condition.optimal), mask, how, *step))
    found = {
        name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]
    }
    found["return"] = _returns(whole, condition, how)
    found[PAIRED] = _alike(whole.value[:, :, condition.reachable])
    return {name: found[name] for name in NAMES}


@functools.partial(jit.program, static_argnums=3)
def _step(
    table: Any,
    optimal: Array,
    mask: Array,
    how: battery.Judged,
    value: Array,
    prior: Array,
    gates: Array,
    parts: Array,
) -> dict[str, Array]:
    """One checkpoint: numbers by seed."""
    flat = mask.reshape(-1)

    def level(value: Array, prior: Array, table: Any, mask: Array) -> Array:
        found = maps.agreement(
            value,
            jnp.exp(prior),
            table.successor,
            table.reward,
            table.terminated,
            mask,
            how.discount,
            TIE,
        )
        return jnp.where(mask, found.agrees, 0).sum()

    def seed(value: Array, prior: Array, gates: Array, parts: Array) -> Any:
        agreed = jax.vmap(level)(value, prior, table, mask).sum()
        near = maps.calibration(value.reshape(-1), optimal.reshape(-1), flat)
        used = _masked_usage(gates, parts, flat)
        return {
            "error": near.relative,
            "agreement": agreed / mask.sum().astype(value.dtype),
            "entropy": used[0],
            "in use": used[1],
        }

    return jax.vmap(seed)(value, prior, gates, parts)


def _masked_usage(gates: Array, parts: Array, flat: Array) -> tuple[Array, Array]:
    """Entropy and parts in use over some of the states; NaN where a gate is."""
    count = gates.shape[-1]
    counted = jnp.where(flat[:, None], gates.reshape(-1, count), 0)
    used = contributions.usage(counted, parts.reshape(-1, count))
    entropy = used.entropy.sum() / flat.sum().astype(gates.dtype)
    lost = ~jnp.isfinite(gates).all()
    return jnp.where(lost, jnp.nan, entropy), jnp.where(lost, jnp.nan, used.in_use)


def _returns(
    whole: Whole, condition: battery.Condition, how: battery.Judged
) -> Float[np.ndarray, "C N"]:
    """Exact return of every checkpoint and seed as a fraction of the optimum's."""
    chosen = battery.policy(whole.value, whole.prior, condition, how)
    flat = chosen.reshape(-1, *chosen.shape[2:])
    got = battery.expected_return(flat, condition, how.discount, how.max_steps)
    best = condition.best.mean()
    return (got.mean(axis=1) / best).reshape(chosen.shape[:2])


def _alike(value: Float[np.ndarray, "C N X"]) -> Float[np.ndarray, "C N"]:
    """Mean correlation of each seed's V with the other seeds' that are finite.

    NaN where there is no other, and of a seed that is lost itself.
    """
    centred = value - value.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    fine = np.isfinite(length)
    unit = np.where(length > 0, centred, 0) / np.where(length > 0, length, 1)
    table = unit @ np.swapaxes(unit, 1, 2)
    own = np.diagonal(table, axis1=1, axis2=2)
    others = fine.sum(axis=1) - 1
    total = table.sum(axis=-1) - own
    some = fine[..., 0] & (others > 0)
    return np.where(some, total / np.maximum(others, 1), np.nan)


def interval(x: np.ndarray) -> dict[str, float]:
    """Mean over seeds with its 95 % interval; NaN where there is none."""
    if not np.isfinite(x).all():
        return {"estimate": float("nan"), "low": float("nan"), "high": float("nan")}
    found = statistics.mean_interval(x, resamples=10_000)
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def end(name: str, x: np.ndarray) -> dict[str, float]:
    """As `interval`, of a curve by its name."""
    nan = {"low": float("nan"), "high": float("nan")}
    return {**interval(x), **(nan if name == PAIRED else {})}


def ends(found: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The last checkpoint of every curve, with intervals over seeds."""
    return {name: end(name, curve[-1]) for name, curve in found.items()}
