"""The shard cards: who is used, who plays which role, and who wants what.

Symbols: N seeds, L levels, S states, K parts, R reward sources.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from shardsim.core import jit
from shardsim.evaluation import battery
from shardsim.inspection.shards import contributions
from shardsim.reports.explorer import forward
from shardsim.reports.explorer.forward import Whole
from shardsim.reports.explorer.panels import curves


def usage(whole: Whole, mask: np.ndarray) -> dict[str, Any]:
    """Shares, dead and twin shards of every seed in the last checkpoint."""
    gates = jnp.asarray(whole.gates[-1][:, mask])
    parts = jnp.asarray(whole.parts[-1][:, mask])
    found = jit.program(jax.vmap(contributions.usage))(gates, parts)
    value = jnp.asarray(whole.value[-1][:, mask])
    added = jit.program(jax.vmap(contributions.contributions))(value, gates, parts)
    return {
        "gate share": np.asarray(found.gate_share),
        "value share": np.asarray(found.value_share),
        "dead": np.asarray(found.dead).tolist(),
        "twins": np.asarray(found.twins).tolist(),
        "mean entropy": np.asarray(found.mean_entropy),
        "largest residual": float(jnp.abs(added.residual).max()),
        "tolerance": contributions.TOLERANCE,
    }


def roles(whole: Whole, mask: np.ndarray) -> dict[str, Any]:
    """Which shard of the first seed each seed's shards are most like."""
    # a seed without numbers is like no other: 0 everywhere
    each = np.nan_to_num((whole.gates[-1] * whole.parts[-1])[:, mask])
    found = [contributions.match(each[0], other) for other in each]
    return {
        "partner": [one.partner.tolist() for one in found],
        "likeness": np.stack([one.likeness for one in found]),
        "null": [one.null for one in found],
    }


def wants(
    world: Any,
    whole: Whole,
    condition: battery.Condition,
    how: battery.Judged,
    partner: list[list[int]],
) -> dict[str, Any]:
    """Expected reward by source with each shard switched off.

    effect[n, k, r] = (return from source r without shard k) - (with all). The shards of
    each seed stand in the order of the first seed's, so that roles can be averaged. The
    control takes as much of |V| away evenly: V is scaled by 1 - (share of shard k).
    """
    order = np.maximum(np.asarray(partner), 0)
    value, prior = whole.value[-1], whole.prior[-1]
    each = whole.gates[-1] * whole.parts[-1]
    each = np.take_along_axis(each, order[:, None, None, :], axis=-1)
    size = np.abs(each[:, condition.reachable]).sum(axis=1)
    share = size / np.maximum(size.sum(axis=-1, keepdims=True), 1e-12)
    off = np.moveaxis(value[..., None] - each, -1, 1)
    even = value[:, None] * (1 - share)[..., None, None]
    changed = np.concatenate([value[:, None], off, even], axis=1)
    returns = _by_source(world, changed, prior, condition, how)
    count = each.shape[-1]
    whole_return = returns[:, :1]
    effect = returns[:, 1 : count + 1] - whole_return
    control = returns[:, count + 1 :] - whole_return
    return {
        "sources": list(world.reward_sources),
        "return": returns[:, 0],
        "effect": effect,
        "control": control,
        "share": share,
        "mean effect": _intervals(effect),
        "mean control": _intervals(control),
    }


def _by_source(
    world: Any,
    value: Float[np.ndarray, "N V L S"],
    prior: Float[np.ndarray, "N L S A"],
    condition: battery.Condition,
    how: battery.Judged,
) -> Float[np.ndarray, "N V R"]:
    wide = np.broadcast_to(prior[:, None], (*value.shape, prior.shape[-1]))
    chosen = battery.policy(value, wide, condition, how)
    flat = chosen.reshape(-1, *chosen.shape[2:])
    paid = np.stack(
        [
            forward.rewards_by_source(
                world,
                jax.tree.map(lambda leaf, i=i: leaf[i], condition.levels),
                condition.params,
            )
            for i in range(len(condition.optimal))
        ]
    )
    found = []
    for source in range(paid.shape[-1]):
        table = condition.table._replace(reward=jnp.asarray(paid[..., source]))
        one = condition._replace(table=table)
        got = battery.expected_return(flat, one, how.discount, how.max_steps)
        found.append(got.mean(axis=1).reshape(value.shape[:2]))
    return np.stack(found, axis=-1)


def _intervals(x: Float[np.ndarray, "N K R"]) -> list[list[dict[str, float]]]:
    return [
        [curves.interval(x[:, k, r]) for r in range(x.shape[2])]
        for k in range(x.shape[1])
    ]
