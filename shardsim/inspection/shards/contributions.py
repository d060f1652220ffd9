"""Contributions of the shards of a value head to V, their usage, and V without them.

V(s) = sum_k g_k(s) v_k(s); the contribution of shard k is g_k v_k, gate times shard
value. Contributions do not depend on how a factor is split between gate and value where
gates are not normalised, but shards have no fixed order and a constant can move between
them. So compare contributions, not parameters, and only after `match`.

Symbols: S states, K shards, L shards of another head.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Integer, Numbers

TOLERANCE = 1e-5
"""Largest residual |V - sum of contributions|, relative to max(largest |V|, 1)."""


class Contributions(NamedTuple):
    """V as a sum of contributions: value = sum_k each[k] + residual."""

    value: Float[Array, " S"]
    """V."""
    gates: Float[Array, "S K"]
    """g_k."""
    shard_values: Float[Array, "S K"]
    """v_k."""
    each: Float[Array, "S K"]
    """g_k v_k, the contribution of each shard."""
    residual: Float[Array, " S"]
    """V - sum_k g_k v_k."""

    @property
    def adds_up(self) -> bool:
        """Whether the residual is within `TOLERANCE` everywhere; runs on the host."""
        size = jnp.maximum(jnp.abs(self.value).max(), 1)
        return bool(jnp.abs(self.residual).max() <= TOLERANCE * size)

    def summary(self) -> str:
        worst = float(jnp.abs(self.residual).max())
        verdict = "add up to V" if self.adds_up else "DO NOT add up to V"
        return f"{self.each.shape[-1]} shards {verdict}, largest residual {worst:.2g}"


class Usage(NamedTuple):
    """How much each shard is used."""

    gate_share: Float[Array, " K"]
    """Mean over states of g_k / sum_j g_j; 0 in a state where all gates are closed."""
    value_share: Float[Array, " K"]
    """sum_s |g_k v_k| / sum_s sum_j |g_j v_j|; 0 if all contributions are 0."""
    entropy: Float[Array, " S"]
    """Entropy of the normalised gates in each state, in nats; 0 where one gate is
    open."""
    mean_entropy: Float[Array, ""]
    """Mean of `entropy` over the states, in nats."""
    in_use: Float[Array, ""]
    """Effective number of shards, exp(entropy of the normalised `gate_share`): 1 if one
    shard has all the weight, K if all have the same, 0 if all gates are closed."""
    dead: Bool[Array, " K"]
    """Shards whose `value_share` is below the threshold; all of them if V = 0
    everywhere."""
    twins: Bool[Array, "K K"]
    """Pairs of shards, neither of them dead, whose contributions correlate above the
    threshold."""
    likeness: Float[Array, "K K"]
    """Correlation of contributions over states; 0 for a constant contribution."""

    def summary(self) -> str:
        pairs = int(jnp.triu(self.twins, 1).sum())
        return (
            f"{float(self.in_use):.2f} of {len(self.dead)} shards in use, "
            f"{int(self.dead.sum())} dead, {pairs} pairs of twins, mean entropy "
            f"{float(self.mean_entropy):.2f} nats"
        )


class Matching(NamedTuple):
    """The shard of head B that plays the role of each shard of head A."""

    partner: Int[np.ndarray, " K"]
    """Index of the shard of B; -1 where B has too few shards."""
    likeness: Float[np.ndarray, " K"]
    """Correlation with the partner over states; NaN without a partner."""
    table: Float[np.ndarray, "K L"]
    """Correlations of all pairs; 0 for a constant contribution."""
    null: float
    """Mean matched likeness when the states of B are shuffled: the likeness that
    choosing the best matching produces by itself."""

    def summary(self) -> str:
        pairs = ", ".join(f"{k}-{p}" for k, p in enumerate(self.partner.tolist()))
        return (
            f"matched {pairs}: mean likeness {float(np.nanmean(self.likeness)):.2f}, "
            f"shuffled {self.null:.2f}"
        )


class ChangedValue(NamedTuple):
    """V after a change of the gates."""

    value: Float[Array, " S"]
    """V = sum_k each[k]."""
    gates: Float[Array, "S K"]
    """The changed gates."""
    each: Float[Array, "S K"]
    """Contributions under the changed gates."""

    def summary(self) -> str:
        return f"mean V {float(self.value.mean()):.3g} over {len(self.value)} states"


def contributions(
    value: Annotated[Numbers, "S"],
    gates: Annotated[Numbers, "S K"],
    shard_values: Annotated[Numbers, "S K"],
) -> Contributions:
    """Decompose V into contributions g_k v_k and a residual.

    Args:
      value: V as the head returned it.
      gates: g_k as the head returned them.
      shard_values: v_k as the head returned them.

    Raises:
      ValueError: shapes differ, a number is not finite, no state.
    """
    gates, shard_values = _check(gates, shard_values)
    value = validation.floats("value", value, len(gates)).astype(gates.dtype)
    each = gates * shard_values
    residual = value - each.sum(axis=-1)
    return Contributions(value, gates, shard_values, each, residual)


def usage(
    gates: Annotated[Numbers, "S K"],
    shard_values: Annotated[Numbers, "S K"],
    *,
    dead: float = 0.01,
    twin: float = 0.99,
) -> Usage:
    """Measure shares and entropies, and find dead and twin shards.

    Args:
      gates: g_k, at least 0.
      shard_values: v_k, in units of reward.
      dead: `value_share` below which a shard counts as dead, in [0, 1].
      twin: correlation above which two shards count as twins, in [0, 1].

    Raises:
      ValueError: shapes differ, a number is not finite or out of range, no state.
    """
    gates, shard_values = _check(gates, shard_values)
    validation.between("gates", gates, 0)
    validation.between("dead", dead, 0, 1)
    validation.between("twin", twin, 0, 1)
    share = _divide(gates, gates.sum(axis=-1, keepdims=True))
    gate_share, entropy = share.mean(axis=0), arrays.entropy(share)
    in_use = jnp.exp(arrays.entropy(_divide(gate_share, gate_share.sum())))
    in_use = jnp.where(gate_share.any(), in_use, 0)
    size = jnp.abs(gates * shard_values).sum(axis=0)
    value_share = _divide(size, size.sum())
    is_dead = value_share < dead
    likeness = _likeness(gates * shard_values)
    twins = (likeness > twin) & ~is_dead[:, None] & ~is_dead[None, :]
    twins = twins & ~jnp.eye(len(is_dead), dtype=bool)
    return Usage(
        gate_share,
        value_share,
        entropy,
        entropy.mean(),
        in_use,
        is_dead,
        twins,
        likeness,
    )


def match(
    each_a: Annotated[Numbers, "S K"],
    each_b: Annotated[Numbers, "S L"],
    *,
    shuffles: int = 20,
    seed: Integer = 0,
) -> Matching:
    """Pair the shards of two heads so that paired contributions correlate most.

      max over one-to-one p of sum_k corr(a_k, b_p(k))

    Solved by the Hungarian method on the host. Ties are resolved in the order of the
    shards.

    Args:
      each_a: contributions of head A.
      each_b: contributions of head B in the same states.
      shuffles: number of permutations of the states for the null; 0 makes it NaN.
      seed: of these permutations.

    Raises:
      ValueError: shapes differ, a number is not finite, no state.

    Reference: Kuhn, The Hungarian method for the assignment problem, 1955.
    """
    a = np.asarray(validation.floats("each_a", each_a, None, None))
    b = np.asarray(validation.floats("each_b", each_b, len(a), None), a.dtype)
    validation.at_least("states", len(a), 1)
    shuffles = validation.integer("shuffles", shuffles, 0)
    seed = validation.integer("seed", seed, 0)
    rng = np.random.default_rng(seed)
    table = _likeness_of(a, b)
    rows, columns = arrays.best_pairs(table)
    partner = np.full(a.shape[1], -1)
    partner[rows] = columns
    likeness = np.full(a.shape[1], np.nan, a.dtype)
    likeness[rows] = table[rows, columns]
    null = []
    for _ in range(shuffles):
        other = _likeness_of(a, b[rng.permutation(len(b))])
        null.append(other[arrays.best_pairs(other)].mean())
    return Matching(
        partner, likeness, table, float(np.mean(null)) if null else float("nan")
    )


def switch_off(
    gates: Annotated[Numbers, "S K"],
    shard_values: Annotated[Numbers, "S K"],
    keep: Annotated[Numbers, "K"],
) -> ChangedValue:
    """V without some shards, sum_{k: keep[k]} g_k v_k. The other gates do not change.

    Args:
      gates: g_k.
      shard_values: v_k.
      keep: booleans; false switches a shard off.

    Raises:
      ValueError: shapes differ, a number is not finite, no state, `keep` is no mask.
    """
    gates, shard_values = _check(gates, shard_values)
    keep = jnp.asarray(validation.mask("keep", keep, gates.shape[1]))
    return _recompute(jnp.where(keep[None, :], gates, 0), shard_values)


def clamp(
    gates: Annotated[Numbers, "S K"],
    shard_values: Annotated[Numbers, "S K"],
    shard: Integer,
    to: float,
    *,
    renormalise: bool = False,
) -> ChangedValue:
    """V with one gate set to the same number in every state.

    Args:
      gates: g_k.
      shard_values: v_k.
      shard: index of the clamped shard, in [0, K).
      to: its new gate, in [0, 1].
      renormalise: scale the other gates so that the sum of all gates in a state stays
        the same (for softmax gates). That sum must be at least `to`; otherwise this is
        an error, or under jit the other gates close. In a state where all other gates
        are closed they stay closed.

    Raises:
      ValueError: shapes differ, a number is not finite or out of range, no state.
    """
    gates, shard_values = _check(gates, shard_values)
    count = gates.shape[1]
    if not isinstance(shard, jax.core.Tracer):
        shard = validation.integer("shard", shard, 0, count - 1)
    validation.between("to", to, 0, 1)
    others = jnp.arange(count)[None, :] != shard
    rest = jnp.where(others, gates, 0)
    if renormalise:
        before = rest.sum(axis=-1, keepdims=True)
        total = gates.sum(axis=-1, keepdims=True)
        # rounding may leave the sum of a softmax slightly below 1
        max_gate = jnp.where(before > 0, total, 1).min() * (1 + TOLERANCE)
        validation.between("to", to, 0, max_gate)
        rest = rest * _divide(jnp.maximum(total - to, 0), before)
    return _recompute(jnp.where(others, rest, to), shard_values)


def shuffle_gates(
    gates: Annotated[Numbers, "S K"],
    shard_values: Annotated[Numbers, "S K"],
    key: Key[Array, ""],
) -> ChangedValue:
    """V with the gates of another state in every state: do gates depend on the state?

    The gates are permuted over states along one random cycle. No state keeps its own
    gates, and the distribution of each gate stays the same.

    Args:
      gates: g_k.
      shard_values: v_k.
      key: for the permutation.

    Raises:
      ValueError: shapes differ, a number is not finite, fewer than 2 states.
    """
    gates, shard_values = _check(gates, shard_values)
    validation.at_least("states", len(gates), 2)
    return _recompute(gates[arrays.derangement(len(gates), key)], shard_values)


def _recompute(
    gates: Float[Array, "S K"], shard_values: Float[Array, "S K"]
) -> ChangedValue:
    each = gates * shard_values
    return ChangedValue(each.sum(axis=-1), gates, each)


def _check(
    gates: Annotated[Numbers, "S K"], shard_values: Annotated[Numbers, "S K"]
) -> tuple[Float[Array, "S K"], Float[Array, "S K"]]:
    gates = validation.floats("gates", gates, None, None)
    shard_values = validation.floats("shard_values", shard_values, *gates.shape)
    validation.at_least("states", len(gates), 1)
    return gates, shard_values.astype(gates.dtype)


def _divide(
    numerator: Float[Array, "*n"], denominator: Float[Array, "*#n"]
) -> Float[Array, "*n"]:
    """numerator / denominator, and 0 where the denominator is not positive."""
    is_positive = denominator > 0
    return jnp.where(is_positive, numerator / jnp.where(is_positive, denominator, 1), 0)


def _likeness(each: Float[Array, "S K"]) -> Float[Array, "K K"]:
    """Correlations of columns over states; 0 for a constant column."""
    centred = each - each.mean(axis=0, keepdims=True)
    varies = each.max(axis=0) > each.min(axis=0)
    length = jnp.sqrt((centred * centred).sum(axis=0))
    unit = jnp.where(varies[None], centred / jnp.where(varies, length, 1)[None], 0)
    return unit.T @ unit


def _likeness_of(
    a: Float[np.ndarray, "S K"], b: Float[np.ndarray, "S L"]
) -> Float[np.ndarray, "K L"]:
    """Correlations between the columns of two heads, on the host."""
    count = a.shape[1]
    both = _likeness(jnp.asarray(np.concatenate([a, b], axis=1)))
    return np.asarray(both)[:count, count:]
