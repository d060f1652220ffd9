"""Each shard by itself: how much it is used, its role, and what it is needed for.

Symbols: N seeds, L levels, S states, K shards, R reward sources.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from shardsim.core import jit
from shardsim.evaluation import battery, exact_policies
from shardsim.inspection.shards import ablation as selectivity
from shardsim.inspection.shards import contributions
from shardsim.reports.explorer import forward
from shardsim.reports.explorer.forward import Predictions
from shardsim.reports.explorer.panels import base


@dataclasses.dataclass(frozen=True)
class Ablation:
    """Change of the expected return from each source without each shard.

    The shards of each seed stand in the order of the first seed's. The control removes
    as much of |V| evenly: V is scaled by 1 - (share of shard k).
    """

    sources: list[str]
    full_return: Float[np.ndarray, "N R"]
    """With all shards."""
    seed_effect: Float[np.ndarray, "N K R"]
    seed_control: Float[np.ndarray, "N K R"]
    removed_share: Float[np.ndarray, "N K"]
    """Share of each shard in |V|."""
    effect: list[list[base.Estimate]]
    """[K, R], over seeds."""
    control: list[list[base.Estimate]]


@dataclasses.dataclass(frozen=True)
class Shards:
    """Use and role of every shard at the last checkpoint."""

    gate_share: Float[np.ndarray, "N K"]
    value_share: Float[np.ndarray, "N K"]
    """Of the mean |contribution|."""
    dead: Bool[np.ndarray, "N K"]
    twins: Bool[np.ndarray, "N K K"]
    residual: float
    """Largest |V - sum of contributions|."""
    tolerance: float
    partner: Int[np.ndarray, "N K"]
    """Shard that is most like shard k of the first seed; -1 if there is none."""
    similarity: Float[np.ndarray, "N K"]
    """Correlation of their contributions."""
    shuffled_similarity: list[float]
    """The same with states shuffled, by seed."""
    ablation: Ablation
    readings: list[base.Reading]


def compute(context: base.PanelContext) -> Shards:
    """Use, roles and ablation on the levels of the curves."""
    condition, predictions = context.curve_condition, context.curve_predictions
    mask = condition.reachable
    value, gates, parts = (
        jnp.asarray(leaf[-1][:, mask])
        for leaf in (predictions.value, predictions.gates, predictions.shard_values)
    )
    usage = jit.jit(jax.vmap(contributions.usage))(gates, parts)
    sums = jit.jit(jax.vmap(contributions.contributions))(value, gates, parts)
    matches = _matches(predictions, mask)
    partner = np.stack([np.asarray(one.partner) for one in matches])
    return Shards(
        gate_share=np.asarray(usage.gate_share),
        value_share=np.asarray(usage.value_share),
        dead=np.asarray(usage.dead),
        twins=np.asarray(usage.twins),
        residual=float(jnp.abs(sums.residual).max()),
        tolerance=contributions.TOLERANCE,
        partner=partner,
        similarity=np.stack([one.likeness for one in matches]),
        shuffled_similarity=[float(one.null) for one in matches],
        ablation=ablate(
            context.inputs.env, predictions, condition, context.inputs.acting, partner
        ),
        readings=selectivities(predictions, mask, condition.context),
    )


def selectivities(
    predictions: Predictions,
    mask: Bool[np.ndarray, "L S"],
    contexts: Float[np.ndarray, "L S C"],
) -> list[base.Reading]:
    """Whether each shard serves one context; nothing with one shard or one context."""
    context = np.unique(contexts[mask], axis=0, return_inverse=True)[1].reshape(-1)
    each = (predictions.gates[-1] * predictions.shard_values[-1])[:, mask]
    if each.shape[-1] < 2 or context.max() < 1:
        return []
    rng = np.random.default_rng(0)
    scores = np.full((2, len(each)), np.nan)
    for seed, parts in enumerate(each):
        if np.isfinite(parts).all():
            value = parts.sum(axis=1)
            without = value - (parts - parts.mean(axis=0)).T
            scores[:, seed] = [
                selectivity.fit(value, without, labels).score
                for labels in (context, rng.permutation(context))
            ]
    return [
        base.reading(
            "selectivity of shards",
            "How much more V changes in a shard's own context than elsewhere when its "
            "contribution is replaced by its mean: 1 if each serves one context alone.",
            scores[0],
            scores[1],
            "contexts shuffled over states",
        )
    ]


def _matches(predictions: Predictions, mask: np.ndarray) -> list[Any]:
    """The shards of each seed matched to those of the first."""
    # a seed that is not finite is like no other: 0 everywhere
    each = predictions.gates[-1] * predictions.shard_values[-1]
    each = np.nan_to_num(each[:, mask])
    return [contributions.match(each[0], other) for other in each]


def ablate(
    env: Any,
    predictions: Predictions,
    condition: battery.Condition,
    acting: exact_policies.ActingRule,
    partner: Int[np.ndarray, "N K"],
) -> Ablation:
    """Expected return by source with each shard switched off, beside its control."""
    order = np.maximum(partner, 0)
    value, log_decoder = predictions.value[-1], predictions.log_decoder[-1]
    each = predictions.gates[-1] * predictions.shard_values[-1]
    each = np.take_along_axis(each, order[:, None, None, :], axis=-1)
    size = np.abs(each[:, condition.reachable]).sum(axis=1)
    share = size / np.maximum(size.sum(axis=-1, keepdims=True), 1e-12)
    ablated = np.moveaxis(value[..., None] - each, -1, 1)
    scaled = value[:, None] * (1 - share)[..., None, None]
    changed = np.concatenate([value[:, None], ablated, scaled], axis=1)
    returns = _by_source(env, changed, log_decoder, condition, acting)
    count = each.shape[-1]
    full = returns[:, :1]
    effect = returns[:, 1 : count + 1] - full
    control = returns[:, count + 1 :] - full
    return Ablation(
        sources=list(env.reward_sources),
        full_return=returns[:, 0],
        seed_effect=effect,
        seed_control=control,
        removed_share=share,
        effect=_estimates(effect),
        control=_estimates(control),
    )


def _by_source(
    env: Any,
    value: Float[np.ndarray, "N V L S"],
    log_decoder: Float[np.ndarray, "N L S A"],
    condition: battery.Condition,
    acting: exact_policies.ActingRule,
) -> Float[np.ndarray, "N V R"]:
    wide = np.broadcast_to(log_decoder[:, None], (*value.shape, log_decoder.shape[-1]))
    policy = exact_policies.policy(value, wide, condition, acting)
    flat = policy.reshape(-1, *policy.shape[2:])
    rewards = np.stack(
        [
            forward.rewards_by_source(
                env,
                jax.tree.map(lambda leaf, i=i: leaf[i], condition.levels),
                condition.params,
            )
            for i in range(len(condition.optimal))
        ]
    )
    returns = []
    for source in range(rewards.shape[-1]):
        table = condition.table._replace(reward=jnp.asarray(rewards[..., source]))
        one = condition._replace(table=table)
        each = exact_policies.expected_return(
            flat, one, acting.discount, acting.max_steps
        )
        returns.append(each.mean(axis=1).reshape(value.shape[:2]))
    return np.stack(returns, axis=-1)


def _estimates(x: Float[np.ndarray, "N K R"]) -> list[list[base.Estimate]]:
    return [
        [base.estimate(x[:, k, r]) for r in range(x.shape[2])]
        for k in range(x.shape[1])
    ]
